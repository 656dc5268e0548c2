"""The test rig: Kafka, PostgreSQL and a misbehaving network for any test of the hub.

Loaded as the pytest plugin `tests.rig.plugin`, it gives these fixtures:

`kafka`         the run's broker: `bootstrap`, `bus_url`, `await create_topics(...)`, `await
provision(prefix)` `postgres`      the run's server: `url(database)`, `create_database(name,
template=None)`, `execute(sql)` ... `own_kafka`     a factory of clusters for one test, which may
`kill9(id)` and `restart(id)` them `own_postgres`  likewise a server with `stop_hard()` and `restart()`
`unique`        `unique("name")` is a name no other test of the run uses, good for topics and databases

A run has one broker and one server, however many xdist workers share it, started when a test first asks.
What a run has started ends with it, also on Ctrl-C and SIGKILL. The last lines of a run say what it used
and what it skipped.
"""
