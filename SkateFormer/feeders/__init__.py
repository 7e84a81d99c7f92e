"""The data sets that configurations name: `feeders.feeder_ntu.Feeder`, `feeders.feeder_ntu_inter.Feeder`,
`feeders.feeder_ucla.Feeder`.
"""
