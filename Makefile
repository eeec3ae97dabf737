# The two commands of the README; everything else is for people who change the code.
PY := .venv/bin/python
.PHONY: demo test test-full lint bench reference lock clean

demo: .venv/.ready
	@$(PY) -m gateway.cli demo

test: .venv/.ready
	@$(PY) -m pytest -n auto -m "not full"

test-full: .venv/.ready
	@$(PY) -m pytest -n auto --hypothesis-profile=search

lint: .venv/.ready
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy && .venv/bin/lint-imports

bench: .venv/.ready
	@$(PY) bench/run.py
	@$(PY) bench/authentication.py --messages 500

reference: .venv/.ready
	@$(PY) tools/reference.py

lock:
	@uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --all-extras --group dev -o requirements.lock pyproject.toml

.venv/.ready: requirements.lock tools/bootstrap.py
	@python3 tools/bootstrap.py

clean:
	@rm -rf .venv .mypy_cache .ruff_cache .hypothesis build dist
