"""Dashboards, alerts and what Prometheus needs to find a cluster, made of tables: `run_cluster.py dashboards DIR`.

panels.py       the table of panels: what operators look at, by board
dashboards.py   boards of Grafana, made of it
rules.py        alerts, made of actors/metrics/signals/, and tests of them for promtool
examples.py     for each alert a course of figures in which it fires, and moments in which it doesn't
scraping.py     prometheus.yml, for the API's figures and Ray's
written.py      all of it in a folder
"""
