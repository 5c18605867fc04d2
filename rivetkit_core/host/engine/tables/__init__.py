"""An actor's records in the tables that other RivetKit runtimes keep them in (actor-runtime 2.8)."""
