"""/metrics: the format, and that what it says adds up."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from harness import DIGITS, ENDLESS, FASHION, SANITIZER, Daemon, wait_until

ANSWERED = ["200", "202", "204", "304", "499", "500", "504"]


def check_sums(test, m):
    test.assertEqual(m.sum("pfgmd_images_admitted_total"), m.sum("pfgmd_images_total"))
    test.assertEqual(m.sum("pfgmd_queue_requests"), 0)
    test.assertEqual(m.value("pfgmd_worker_last_step_age_seconds"), 0)
    answered = sum(m.sum("pfgmd_http_requests_total", code=c) for c in ANSWERED)
    rejected = m.sum("pfgmd_requests_rejected_total")
    test.assertEqual(m.sum("pfgmd_http_requests_total"), answered + rejected)


class MetricsText(unittest.TestCase):
    def test_every_status_of_a_problem_has_its_code(self):
        """412 was counted as another one, without a code."""
        folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/http")
        with open(os.path.join(folder, "wire/http_problem.c")) as f:
            statuses = set(re.findall(r"= \{(\d{3}),", f.read()))
        with open(os.path.join(folder, "app/http_metrics.c")) as f:
            codes = re.search(r"codes\[HTTP_CODES\] = \{(.*?)\};", f.read(), re.S).group(1)
        self.assertIn("412", statuses)
        self.assertLessEqual(statuses, set(re.findall(r"\d{3}", codes)))

    def test_the_families_that_are_named_and_no_others(self):
        with Daemon() as daemon:
            daemon.images({"seed": 1})
            daemon.settled()
            some = daemon.get("/metrics?name[]=pfgmd_slots&x=y&name[]=pfgmd_images_total&name%5B%5D=process_threads")
            names = set(re.findall(rb"^# TYPE (\S+)", some.body, re.M))
            self.assertEqual(names, {b"pfgmd_slots", b"pfgmd_images_total", b"process_threads"})
            for line in some.body.splitlines():
                self.assertTrue(any(n in line for n in names), line)
            self.assertIn(b'outcome="ok"} 1\n', some.body)
            self.assertLess(len(some.body), 1200)
            self.assertEqual(daemon.get("/metrics?name[]=pfgmd_slot").body, b"")
            self.assertGreater(len(daemon.get("/metrics?name=pfgmd_slots").body), 5000)

    def test_a_mix_of_everything_adds_up_triton_6494(self):
        with Daemon("--workers", "2", "--batch", "2", "--queue", "6") as daemon:
            slow = {"solver": ENDLESS}

            def insist(body, status):
                """Asks until the full queue has a place for it, so that every kind of end is among them."""
                wait_until(lambda: daemon.images(body).status == status, f"{status} for {body}")

            def ask(k):
                kind = k % 6
                if kind == 0:
                    insist({"n": 2, "seed": k}, 200)
                elif kind == 1:
                    insist({"solver": {"method": "rk45", "max_nfe": 8}, "n": 2}, 500)
                elif kind == 2:
                    daemon.begin_images(slow).close()
                elif kind == 3:
                    insist({**slow, "timeout_s": 0.05}, 504)
                elif kind == 4:
                    daemon.images({"n": 0})
                else:
                    daemon.request("DELETE", "/nowhere")
            threads = [threading.Thread(target=ask, args=(k,)) for k in range(48)]
            for t in threads:
                t.start()
            self.assertTrue(daemon.metrics().samples)  # busy
            for t in threads:
                t.join()
            m = daemon.settled()
            check_sums(self, m)
            for outcome in ["ok", "failed", "deadline"]:
                self.assertGreater(m.sum("pfgmd_images_total", outcome=outcome), 0, outcome)
            self.assertEqual(m.sum("pfgmd_requests_rejected_total", reason="invalid_parameter"), 8)
            self.assertEqual(m.sum("pfgmd_http_requests_total", route="other", method="DELETE",
                                   code="404"), 8)
            self.assertGreater(m.sum("pfgmd_ode_steps_total"), 0)
            self.assertEqual(m.value("pfgmd_queue_capacity_images"), 6)
            self.assertEqual(m.value("pfgmd_workers"), 2)
            self.assertEqual(m.value("pfgmd_draining"), 0)

    def test_every_family_is_there_routinator_154_common_265(self):
        names = """build_info model_info model_loaded_timestamp_seconds http_requests_total
            http_request_duration_seconds http_connections http_requests_open http_held_bytes queue_requests queue_images
            queue_capacity_images queue_wait_seconds requests_rejected_total slots slots_busy
            batch_images workers images_admitted_total images_total image_duration_seconds
            ode_steps_total ode_steps_rejected_total field_evaluations_total
            ode_step_duration_seconds cancellations_total model_reloads_total draining
            worker_last_step_age_seconds""".split()
        process = "cpu_seconds_total open_fds max_fds virtual_memory_bytes " \
                  "resident_memory_bytes start_time_seconds".split()
        begun = time.time()
        with Daemon() as daemon:
            self.assertEqual(daemon.images({}).status, 200)
            self.assertEqual(daemon.get("/nowhere").status, 404)
            m = daemon.metrics()
            for name in ["pfgmd_" + n for n in names] + ["process_" + n for n in process]:
                self.assertIn(name, m.types)
            self.assertGreater(m.value("process_open_fds"), 5)
            started = m.value("process_start_time_seconds")
            self.assertTrue(begun - 5 < started < time.time() + 5, (begun, started))  # the system's clock ticks in steps
            self.assertEqual(m.value("pfgmd_model_info", model="digits8",
                                     **{k: v for k, v in self.model_labels(daemon).items()}), 1)
            promtool = shutil.which("promtool")
            if promtool:
                result = subprocess.run([promtool, "check", "metrics"], capture_output=True,
                                        input=daemon.get("/metrics").body)
                self.assertEqual((result.returncode, result.stderr), (0, b""))

    def test_the_dashboard_and_the_alerts_ask_for_what_there_is(self):
        with open(os.path.join(os.environ["CONF"], "grafana/dashboards/pfgmd.json")) as f:
            board = json.load(f)
        asked = [t["expr"] for p in board["panels"] for t in p["targets"]]
        asked += [v["definition"] for v in board["templating"]["list"]]
        with open(os.path.join(os.environ["CONF"], "prometheus/alerts.yml")) as f:
            asked += re.findall(r"expr: (.*)", f.read())
        self.assertGreater(len(asked), 20)
        with tempfile.TemporaryDirectory() as folder, Daemon("--state", folder) as daemon:
            self.assertEqual(daemon.images({}).status, 200)
            m = daemon.settled()  # a request is counted when its answer has gone
            self.assertEqual(m.sum("pfgmd_http_requests_total", route="/v1/images"), 1)
        names = {n for n, kind in m.types.items() if kind != "histogram"}
        names |= {n + s for n, kind in m.types.items() if kind == "histogram"
                  for s in ("_bucket", "_sum", "_count")}
        labels = {k for _, pairs in m.samples for k, _ in pairs} | {"instance", "job"}
        for expr in asked:
            for name in re.findall(r"(?:pfgmd|process)_\w+", expr):
                self.assertIn(name, names, expr)
            for label in re.findall(r"(\w+)=", expr) + [
                    b.strip() for by in re.findall(r"by \(([^)]*)\)", expr) for b in by.split(",")]:
                self.assertIn(label, labels, expr)

    @staticmethod
    def model_labels(daemon):
        o = daemon.get("/v1/models/digits8").json()
        return {k: o[k] for k in ["sha256", "kernel", "precision"]}

    def test_labels_come_from_fixed_sets_gitlab_tokens_exporter_221(self):
        """Neither a strange file name nor what clients send makes a label of its own."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'a"b\\c\n.safetensors')
            shutil.copy(DIGITS, path)
            with Daemon("--model", "m=" + path, model=None) as daemon:
                before = len(daemon.metrics().samples)
                for k in range(50):
                    daemon.request("GET", f"/{k}/x%22y")
                    daemon.request(f"METHOD{k}", "/livez")
                m = daemon.settled()
                self.assertEqual(m.sum("pfgmd_http_requests_total", route="other", code="404"), 50)
                self.assertEqual(m.sum("pfgmd_http_requests_total", method="other", code="501"), 50)
                self.assertLess(len(m.samples) - before, 80)

    def test_public_metrics_can_be_turned_off(self):
        with Daemon("--public-metrics", "off") as daemon:
            self.assertEqual(daemon.get("/metrics").status, 404)

    def test_a_stuck_worker_shows_in_livez(self):
        """The whole process is stopped in the middle of an evaluation, which makes it old. The question lies ready for it
        when it goes on."""
        n = {"none": 16, "address": 4}.get(SANITIZER, 1)  # an evaluation takes tenths of a second, as few others fit in
        with Daemon("--workers", "1", "--batch", str(n), "--kernel", "c", "--watchdog", "2",
                    model=FASHION) as daemon:
            s = daemon.begin_images({"n": n, "solver": ENDLESS})
            daemon.wait_metrics(lambda m: m.value("pfgmd_worker_last_step_age_seconds") > 0, "an evaluation")
            wait_until(lambda: daemon.get("/livez").status == 200, "a worker that is not stuck")
            for _ in range(20):  # now and then the evaluation ends before the question is read
                daemon.signal(signal.SIGSTOP)
                with daemon.connect() as question:
                    question.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    time.sleep(2.2)
                    daemon.signal(signal.SIGCONT)
                    answer = b"".join(iter(lambda: question.recv(65536), b""))
                if answer.startswith(b"HTTP/1.1 503 "):
                    break
            self.assertTrue(answer.startswith(b"HTTP/1.1 503 ") and b'"status":"stuck"' in answer, answer)
            s.close()
            wait_until(lambda: daemon.get("/livez").status == 200, "an end of the evaluation")


if __name__ == "__main__":
    unittest.main()
