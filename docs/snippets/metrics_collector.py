from counter import registry
from prometheus_client import REGISTRY

from rivetkit.prometheus import export_metrics

export_metrics(registry, to=REGISTRY)
