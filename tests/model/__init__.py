"""Random lives of one actor, with crashes between any two writes, against a model of what it promised.

machine      what happens: callers, time, sleep, kills, deaths; a host that obeys and wakes
program      what the actor does, noting every promise at the moment it is given
storage      one generation's way to its records: slow, failing, dying
promises     what was promised, across generations
statements   the nine crash-consistency statements, as checks of promises against records
snapshot     the records, decoded

``RIVETKIT_MODEL_EXAMPLES`` says how many lives are tried.
"""
