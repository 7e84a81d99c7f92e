"""The models that configurations name: `model.hypergcn.Model`; as published, `model.hypergcn_base.Model` and
`model.hypergcn_large.Model`.
"""
