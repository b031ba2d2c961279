"""What tests do with jobs."""

import http.client
import json

from harness import wait_until

QUICK = {"method": "euler", "steps": 3}
FINISHED = ("succeeded", "failed", "cancelled")


def file_job(daemon, fields, headers=None, method="POST", path="/v1/jobs"):
    return daemon.request(method, path, json.dumps(fields), {"Content-Type": "application/json", **(headers or {})})


def job_of(daemon, name, headers=None):
    answer = daemon.get(f"/v1/jobs/{name}", headers)
    assert answer.status == 200, answer.body
    return answer.json()


def wait_state(daemon, name, *states):
    def look():
        job = job_of(daemon, name)
        return job if job["state"] in states else None
    return wait_until(look, f"job {name} is {states}")


def events(daemon, name, after=None, until=lambda seen: False):
    """(id, kind, data) of each event, progress aside, to the end of the stream or until there are enough."""
    seen, connection = [], http.client.HTTPConnection(daemon.host, daemon.port, timeout=120)
    connection.request("GET", f"/v1/jobs/{name}/events", headers={"Last-Event-ID": str(after)} if after else {})
    response, fields = connection.getresponse(), {}
    assert response.status == 200, response.status
    for line in response:
        key, _, value = line.decode().rstrip("\n").partition(": ")
        if key:
            fields[key] = value
            continue
        if fields.get("event", "progress") != "progress":
            seen.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
        fields = {}
        if until(seen):
            break
    connection.close()
    return seen
