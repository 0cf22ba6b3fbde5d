"""What is wrong, told twice by one row each: as a light of ours, and as an alert of Prometheus.

expressions.py   conditions: each is text of PromQL, and a value over a history
rows.py          the table: what is wrong, since when it counts, what clients notice of it
watch.py         which rows hold now, and for long enough; the lights
"""
