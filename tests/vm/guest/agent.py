"""Runs what another node of the cluster asks for: agent.py ADDRESS PORT.  Its own output tells what it did.

A request is a line `SECONDS BYTES` and a script of BYTES for bash.  The answer is a line `STATUS BYTES`, then BYTES of what the script
said on fd 5, which are results of the scenario, then its output.  A script that takes longer than SECONDS is killed, STATUS 124;
what it leaves in the background goes on.
"""
import os
import signal
import socketserver
import subprocess
import sys
import tempfile

NODE = os.environ["NODE"]
# Bytes of a script's output that are told.
TOLD = 2000


def uptime():
    with open("/proc/uptime") as file:
        return file.read().split()[0]


def run(script, seconds):
    """Status, lines of results and output."""
    with tempfile.TemporaryFile() as said, tempfile.NamedTemporaryFile() as results:
        command = ["bash", "-c", f"exec 5>>{results.name}\n{script}"]
        shell = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd="/tmp", start_new_session=True)
        try:
            status = shell.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
            status = 124
        said.seek(0)
        results.seek(0)
        return status if status >= 0 else 128 - status, results.read(), said.read()


def named(line):
    """A line of results that says which node it is from."""
    for word in (b"not ok ", b"ok ", b"# "):
        if line.startswith(word):
            return word + f"node{NODE}: ".encode() + line[len(word):]
    return line


class Request(socketserver.StreamRequestHandler):
    timeout = 60

    def handle(self):
        seconds, size = map(int, self.rfile.readline(64).split())
        script = self.rfile.read(size).decode(errors="replace")
        print(f"{uptime()} {script}", flush=True)
        status, results, said = run(script, seconds)
        results = b"".join(map(named, results.splitlines(True)))
        print(f"{uptime()} exit {status}: {said[:TOLD].decode(errors='replace')}", flush=True)
        self.wfile.write(f"{status} {len(results)}\n".encode() + results + said)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


address, port = sys.argv[1:]
with Server((address, int(port)), Request) as server:
    print(f"{uptime()} node {NODE} is ready", flush=True)
    server.serve_forever()
