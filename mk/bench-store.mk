# mk/bench-store.mk - make bench-store, bench-render, bench-routes: figures of the store and
# of rendering, no tests.
$(B)/bench_store: $(call obj,tests/bench/bench_store.c \
    tests/unit/unit_dir.c tests/unit/unit_pgsql.c tests/unit/unit_proxy.c) $(B)/libmailgun.a
	$(call say,LD,$@)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)
$(call obj,tests/bench/bench_store.c): EXTRA_CFLAGS += -Itests/unit

bench-store: $(B)/bench_store
	@$(B)/bench_store $(BENCH_ARGS)
.PHONY: bench-store

$(B)/bench_render: $(call obj,tests/bench/bench_render.c) $(B)/libmailgun.a
	$(call say,LD,$@)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

bench-render: $(B)/bench_render
	@$(B)/bench_render
.PHONY: bench-render

# The stack, beside its peers: make bench-latency, make bench-dkim.
bench-latency: all
	@$(PYTHON) tests/bench/bench_latency.py $(BENCH_ARGS)
bench-dkim: all
	@$(PYTHON) tests/bench/bench_dkim.py $(BENCH_ARGS)
bench-lmtp: all
	@$(PYTHON) tests/bench/bench_lmtp.py $(BENCH_ARGS)
.PHONY: bench-latency bench-dkim bench-lmtp

$(B)/bench_campaign: $(call obj,tests/bench/bench_campaign.c \
    tests/unit/unit_dir.c tests/unit/unit_pgsql.c) $(B)/libmailgun.a
	$(call say,LD,$@)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)
$(call obj,tests/bench/bench_campaign.c): EXTRA_CFLAGS += -Itests/unit

bench-campaign: $(B)/bench_campaign
	@$(B)/bench_campaign $(BENCH_ARGS)
.PHONY: bench-campaign

$(B)/bench_routes: $(call obj,tests/bench/bench_routes.c) $(B)/libmailgun.a
	$(call say,LD,$@)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)
bench-routes: $(B)/bench_routes
	@$(B)/bench_routes
.PHONY: bench-routes
