"""What actors are measured by, and how a scraper reads it (actor-runtime 13.1, inspector 8).

    series       counters and histograms: numbers, nothing else
    names        every metric there is, with its labels and what it means
    recorder     what one generation of an actor counts
    process      all actors of a host together
    exposition   the text a scraper reads

Knows nothing of actors, hosts or sockets; they are given a recorder and tell it what happened.
"""
