#!/usr/bin/env bash
# Streamlit 1.67.0: a folder `pages` beside the main script is not ignored until st.navigation has run.
#
# Guess before the run: an app whose main script calls st.navigation may keep its page scripts in any
# folder; one called `pages` is ignored, as the documentation of st.navigation says, so a link to
# /second opens that page for everybody.
# Seen: the first session of a fresh server that comes by a link to /second gets the page, and with it
# the message "page not found", which the browser shows as a dialog; later sessions do not. With the
# folder called `page`, the first session does not get the message either. The server decides from
# the folder's name which kind of multipage app it serves, and takes that back only when a script
# has called st.navigation.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check streamlit==1.67.0

for folder in pages page; do
  mkdir -p "$folder-app/$folder/second"
  cat > "$folder-app/main.py" <<PY
import streamlit as st
first = st.Page(lambda: st.write("first page"), title="First", url_path="first", default=True)
second = st.Page("$folder/second/second.py", title="Second", url_path="second")
st.navigation([first, second]).run()
PY
  echo 'import streamlit as st; st.write("second page")' > "$folder-app/$folder/second/second.py"
done

cat > visit.py <<'PY'
"""Start a fresh server and open /second twice, as two browsers would; print what each is told."""
import asyncio, socket, subprocess, sys, time, urllib.request
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect

with socket.socket() as free:
    free.bind(("localhost", 0))
    port = free.getsockname()[1]
server = subprocess.Popen(
    [sys.executable, "-m", "streamlit", "run", "main.py", "--server.port", str(port),
     "--server.headless", "true", "--browser.gatherUsageStats", "false"],
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
)

async def open_second():
    ask = BackMsg()
    ask.rerun_script.page_name = "second"
    lost, seen = False, ""
    address = f"ws://localhost:{port}/_stcore/stream"
    async with connect(address, origin=f"http://localhost:{port}", subprotocols=["streamlit"]) as wire:
        await wire.send(ask.SerializeToString())
        while True:
            message = ForwardMsg.FromString(await wire.recv())
            kind = message.WhichOneof("type")
            lost |= kind == "page_not_found"
            if kind == "delta" and message.delta.new_element.markdown.body:
                seen = message.delta.new_element.markdown.body
            if kind == "script_finished":
                return f"{'page not found, ' if lost else ''}{seen}"

try:
    for _ in range(100):
        try:
            urllib.request.urlopen(f"http://localhost:{port}/_stcore/health")
            break
        except OSError:
            time.sleep(0.3)
    print(asyncio.run(open_second()), "|", asyncio.run(open_second()))
finally:
    server.terminate()
PY

pages=$(cd pages-app && ../env/bin/python ../visit.py)
page=$(cd page-app && ../env/bin/python ../visit.py)
echo "folder pages: $pages"
echo "folder page:  $page"
[ "$pages" = "page not found, second page | second page" ]
[ "$page" = "second page | second page" ]
