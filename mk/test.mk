# mk/test.mk - how things are tested.
#
#   make check        unit tests (cmocka) and checks of the sources
#   make e2e          the real stack (pytest), SQLite, then PostgreSQL
#   make test         deps, check, e2e, clients
#   make day          24 hours of mixed traffic in ten minutes, processes killed
#   make SANITIZER=address check e2e

UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c))
UNIT_LIB := $(sort $(wildcard tests/unit/unit_*.c))
UNIT_BIN := $(patsubst tests/unit/%.c,$(B)/unit/%,$(UNIT_SRC))

# a test of smtpd's parts links all of smtpd but its main
SMTPD_PARTS := $(filter-out smtpd/main.c,$(SMTPD_SRC))
$(B)/unit/test_%: $(B)/obj/tests/unit/test_%.o $(call obj,$(UNIT_LIB)) \
    $(call obj,$(SMTPD_PARTS)) $(B)/libmailgun.a
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS) $(LIBS_SMTPD) -lcmocka

# Tests need the build with the test clock and failpoints: make calls itself
# with TEST=1 unless this is such a build already.
ifeq ($(VARIANT),release)
check e2e unit:
	@$(MAKE) --no-print-directory TEST=1 $@
else
unit: $(UNIT_BIN)
check: all unit
	@$(PYTHON) tests/run_unit.py $(B)/unit tests/checks
ifeq ($(VARIANT),asan)
e2e: dovecot-for-asan
dovecot-for-asan:
	@$(MAKE) --no-print-directory -s SANITIZER= TEST=1 dovecot-plugin
.PHONY: dovecot-for-asan
endif
e2e: all
	@MG_VARIANT=$(VARIANT) $(PYTHON) -m pytest -q -p no:cacheprovider \
	    tests/e2e $(PYTEST_ARGS)
	@MG_VARIANT=$(VARIANT) MG_STORE=postgresql $(PYTHON) -m pytest -q \
	    -p no:cacheprovider -m both tests/e2e $(PYTEST_ARGS)
endif

# 24 hours of mixed traffic in ten minutes; the suite has two of them in 45 s.
day:
	@$(MAKE) --no-print-directory -s TEST=1 all
	@MG_DAY=600 $(PYTHON) -m pytest -q -s -p no:cacheprovider \
	    tests/e2e/test_day.py $(PYTEST_ARGS)
.PHONY: day

# The demo runs what is shipped: the release build.
demo: deps
	@$(MAKE) --no-print-directory -s all
	@$(PYTHON) tests/stack/demo.py start $(if $(DETACH),--detach)
demo-stop:
	@$(PYTHON) tests/stack/demo.py stop

test: deps
	@$(MAKE) --no-print-directory -s all
	@$(MAKE) --no-print-directory -s TEST=1 check
	@$(MAKE) --no-print-directory -s TEST=1 e2e
	@$(MAKE) --no-print-directory -s clients

# Clients that others wrote, where Node.js is at hand.
clients:
	@if command -v node >/dev/null && command -v npm >/dev/null; then \
	    $(MAKE) --no-print-directory -s TEST=1 run-clients; \
	else echo "clients: no Node.js here, skipped"; fi
run-clients: all
	@cd tests/clients && npm ci --silent --no-audit --no-fund
	@MG_VARIANT=$(VARIANT) $(PYTHON) -m pytest -q -p no:cacheprovider \
	    tests/clients
.PHONY: check e2e unit demo demo-stop test clients run-clients

# Figures: printed, never part of the tests.
bench-smtp: all
	@$(PYTHON) tests/bench/bench_smtp.py $(BENCH_ARGS)
bench-api: all
	@$(PYTHON) tests/bench/bench_api.py $(BENCH_ARGS)
bench-sign: all
	@$(PYTHON) tests/bench/bench_sign.py $(BENCH_ARGS)
.PHONY: bench-smtp bench-api bench-sign
bench-events: all
	@$(PYTHON) tests/bench/bench_events.py $(BENCH_ARGS)
.PHONY: bench-events
bench-suppressions: all
	@$(PYTHON) tests/bench/bench_suppressions.py $(BENCH_ARGS)
.PHONY: bench-suppressions
bench-track: all
	@$(PYTHON) tests/bench/bench_track.py $(BENCH_ARGS)
.PHONY: bench-track
bench-hooks: all
	@$(PYTHON) tests/bench/bench_hooks.py $(BENCH_ARGS)
.PHONY: bench-hooks
bench-expiry: all
	@$(PYTHON) tests/bench/bench_expiry.py $(BENCH_ARGS)
.PHONY: bench-expiry
bench-queue: all
	@$(PYTHON) tests/bench/bench_queue.py $(BENCH_ARGS)
.PHONY: bench-smtp bench-api bench-queue
bench-lists: all
	@$(PYTHON) tests/bench/bench_lists.py $(BENCH_ARGS)
.PHONY: bench-lists
