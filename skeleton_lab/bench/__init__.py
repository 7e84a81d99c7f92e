"""Can this machine run these models? One model in one process gives one JSON line; many lines give a verdict.

    recipes.py     the models and their papers' recipes, as data: to add a model, add a row
    job.py         what one process is asked, and the model it sets up for that
    meters.py      bytes and floating-point operations, counted
    measure.py     step times, throughput, peak memory
    capacity.py    the largest batch that fits a budget: searched on a GPU, predicted without one
    processes.py   starts the processes; a crash, a kill or a lack of memory becomes an answer too
    verdict.py     from those answers to comfortable, tight or no
    tables.py      all of it as text, JSON and CSV

`python3 -m skeleton_lab.bench JOB` runs one job with the model's tree as working directory; `benchmark_models.py` is
the command for people. Input is random and nothing is learned: loading data is not measured.
"""
