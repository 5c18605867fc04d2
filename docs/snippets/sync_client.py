from counter import Counter

from rivetkit import SyncClient

with SyncClient("http://127.0.0.1:6420") as client:
    print(client.get_or_create(Counter, "global").call(Counter.increment))
