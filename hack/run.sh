#!/usr/bin/env bash
# Copyright 2026 The Safebeam Authors.
# SPDX-License-Identifier: Apache-2.0

# Starts Safebeam on this machine, asks a model something, runs Python in a
# sandbox, and leaves the server running: in the foreground on a terminal, else
# in the background.
#
#   hack/run.sh          start (or use what runs already) and show
#   hack/run.sh stop     end the server that was left in the background
#
#   ANTHROPIC_API_KEY, OPENAI_API_KEY or GEMINI_API_KEY   ask that provider
#   SAFEBEAM_MODEL=…     the provider's model id, if not the usual one
#   RUN_DETACH=1         leave the server in the background in any case
#   SAFEBEAM_DATA=DIR    keep the data there instead of in _output/standalone
#   SAFEBEAM_FLAGS=…     more flags for the server, such as --secure-port=7443

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

data=${SAFEBEAM_DATA:-$PWD/_output/standalone}
secrets=$data/secrets
pidfile=$data.pid
log=$data.log
export KUBECONFIG=$data/kubeconfig
export PATH=$PWD/bin:$PATH

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
# typed prints a command as one would type it.
typed() {
  local arg line=
  for arg; do
    case $arg in
      *[[:space:]]*) line+=" \"$arg\"" ;;
      *) line+=" $arg" ;;
    esac
  done
  printf '$%s' "$line"
}
# show prints a command and runs it.
show() {
  printf '\033[2m%s\033[0m\n' "$(typed "$@")"
  "$@"
}
# given prints a command and what it is given to read, and runs it.
given() {
  local text=$1
  shift
  printf '\033[2m%s <<END\n%s\nEND\033[0m\n' "$(typed "$@")" "$text"
  "$@" <<<"$text"
}

# The process id is believed only if it is a standalone server's.
running() {
  local pid
  pid=$(cat "$pidfile" 2>/dev/null) && [ -r "/proc/$pid/cmdline" ] &&
    tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q 'safebeam standalone'
}

stop() {
  running || return 0
  local pid
  pid=$(cat "$pidfile")
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 300); do
    running || { rm -f "$pidfile"; return 0; }
    sleep 0.1
  done
  echo "process $pid does not end" >&2
  return 1
}

start() {
  umask 077
  mkdir -p "$secrets"
  chmod 700 "$data" "$secrets"
  # In a session of its own: a Ctrl-C on the terminal is ours to pass on.
  # shellcheck disable=SC2086 # flags are words
  setsid bin/safebeam standalone --data-dir "$data" --secrets-dir "$secrets" ${SAFEBEAM_FLAGS:-} \
    </dev/null >>"$log" 2>&1 &
  echo $! >"$pidfile"
  for _ in $(seq 300); do
    if [ -s "$KUBECONFIG" ] && kubectl get --raw /readyz >/dev/null 2>&1; then
      return 0
    fi
    running || break
    sleep 0.2
  done
  tail -n 30 "$log" >&2
  echo "the server did not become ready; all it said is in $log" >&2
  stop
  return 1
}

# secret NAME PROVIDER MODEL KEY: the directory that a job of the model mounts.
# printf is the shell's own, so the key is in no process's arguments.
secret() {
  umask 077
  mkdir -p "$secrets/$1"
  printf '%s' "$2" >"$secrets/$1/provider"
  printf '%s' "$3" >"$secrets/$1/model"
  printf '%s' "$4" >"$secrets/$1/api-key"
}

# choose_model sets model, and manifest to what describes it.
choose_model() {
  local provider id key
  if [ -n "${ANTHROPIC_API_KEY:-}" ]; then
    provider=anthropic id=claude-sonnet-4-5 key=$ANTHROPIC_API_KEY
  elif [ -n "${OPENAI_API_KEY:-}" ]; then
    provider=openai id=gpt-5-mini key=$OPENAI_API_KEY
  elif [ -n "${GEMINI_API_KEY:-}" ]; then
    provider=gemini id=gemini-2.5-flash key=$GEMINI_API_KEY
  else
    model=echo manifest=$(cat artifacts/examples/model-echo.yaml)
    return
  fi
  id=${SAFEBEAM_MODEL:-$id} model=$provider
  secret "llm-$provider" "$provider" "$id" "$key"
  manifest="apiVersion: tightbeam.dev/v1
kind: TightbeamModel
metadata:
  name: $provider
spec:
  provider: $provider
  model: $id
  secretName: llm-$provider"
}

if [ "${1:-}" = stop ]; then
  if ! running; then
    echo "no server of $data runs in the background"
    exit
  fi
  stop
  echo "the server has ended; what it kept is in $data"
  exit
fi

make --no-print-directory build
command -v kubectl >/dev/null || make --no-print-directory kubectl

choose_model
# No process of ours but the job that mounts it may have a key.
unset ANTHROPIC_API_KEY OPENAI_API_KEY GEMINI_API_KEY

started=
if running; then
  say "A server runs already (process $(cat "$pidfile"))."
else
  say "Starting Safebeam…"
  start
  started=1
fi
# Whatever goes wrong from here on, a server of ours does not stay behind.
trap '[ -z "$started" ] || stop' EXIT

# The name is the turn's idempotency key: each run asks anew.
turn=hello-$(date +%m%d-%H%M%S)

say "A model, a conversation, and a turn whose answer streams in:"
given "$manifest" kubectl apply -f -
kubectl get conversation first-steps >/dev/null 2>&1 || show kubectl create conversation first-steps --model "$model"
show kubectl create turn first-steps --name "$turn" --model "$model" --follow \
  --message "Hello! In one sentence: why should an API key never be in the hands of an agent?"

# The conversation's sums follow its turns within moments.
kubectl wait conversation/first-steps --for=jsonpath='{.status.lastTurnTime}' --timeout=10s >/dev/null || true

# show_sandbox has a sandbox made and runs Python in it. A machine without
# bubblewrap has all but that.
show_sandbox() {
  if ! kubectl get runtimeenvironment python -o jsonpath='{.status.available}' 2>/dev/null | grep -q true; then
    say "There is no python3 in /usr here, so no sandbox is shown."
    return
  fi
  if ! command -v bwrap >/dev/null; then
    say "Sandboxes need bubblewrap on this machine (apt-get install bubblewrap), so none is shown."
    return
  fi
  say "A sandbox, and Python in it:"
  if ! kubectl get sandbox first-steps -o jsonpath='{.status.phase}' 2>/dev/null | grep -q Running; then
    kubectl delete sandbox first-steps --ignore-not-found >/dev/null
    given "apiVersion: llmsafespace.dev/v1
kind: Sandbox
metadata:
  name: first-steps
spec:
  runtime: python:3
  timeout: 3600" kubectl create -f -
    if ! kubectl wait sandbox/first-steps --for=condition=Ready --timeout=30s >/dev/null 2>&1; then
      kubectl get sandbox first-steps -o jsonpath='{.status.phase}: {.status.reason}: {.status.message}{"\n"}' >&2
      return
    fi
  fi
  given "apiVersion: llmsafespace.dev/v1
kind: Execution
metadata:
  name: $turn
spec:
  sandbox: first-steps
  code: |
    import os, platform
    print('Python', platform.python_version(), 'as user', os.getuid())
    print('The sum of the first 1000 squares is', sum(n * n for n in range(1001)))
    print('Its network has', open('/proc/net/dev').read().count(':'), 'interface')" kubectl create -f -
  # It may have ended before anybody could wait for it.
  kubectl wait "execution/$turn" --for=jsonpath='{.status.completionTime}' --timeout=60s >/dev/null
  show kubectl get execution "$turn" -o jsonpath='{.status.stdout.head}{.status.stderr.head}'
}
show_sandbox

say "What the server has now:"
show kubectl get tightbeammodels,conversations,turns
show kubectl get sandboxes,executions

say "Go on:"
cat <<TXT
  export KUBECONFIG=$KUBECONFIG PATH=$PWD/bin:\$PATH
  kubectl chat first-steps
  kubectl sandbox exec -it first-steps -- python3
  kubectl create turn first-steps --message "And in two?" --follow
  kubectl get turns -w
  kubectl get --raw /apis/tightbeam.dev/v1/namespaces/default/conversations/first-steps/log
  kubectl explain turn.spec
TXT

if [ -n "${RUN_DETACH:-}" ] || [ ! -t 0 ] || [ ! -t 1 ]; then
  trap - EXIT
  say "The server stays up as process $(cat "$pidfile"), its log is $log. End it with: make stop"
  exit 0
fi
if [ -z "$started" ]; then
  exit 0
fi
say "The server runs until you press Ctrl-C. Its log is $log."
trap 'exit 0' INT TERM
while running; do sleep 1; done
tail -n 20 "$log" >&2
echo "the server ended by itself" >&2
exit 1
