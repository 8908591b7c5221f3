# mk/fuzz.mk - parsers that face the network, under libFuzzer.
#
#   make fuzz                 all targets, FUZZ_SECONDS=20 each
#   make fuzz FUZZ=headers FUZZ_SECONDS=600
#
# New inputs of interest are kept in build/fuzz/corpus; what crashes lies in
# build/fuzz/crash-*. tests/fuzz/corpus holds the seeds.
FUZZ_SECONDS ?= 20
FUZZ ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/*.c)))
FUZZ_SAN := address,undefined -fno-sanitize-recover=undefined

fuzz:
	@$(MAKE) --no-print-directory -s VARIANT=fuzz CC=clang HARDEN= \
	    OPT="-O1 -g -fno-omit-frame-pointer" WARN="-Wall" \
	    SAN="-fsanitize=fuzzer-no-link,$(FUZZ_SAN)" run-fuzz

$(B)/fuzz_%: $(B)/obj/tests/fuzz/fuzz_%.o $(B)/libmailgun.a
	$(call say,LD,$@)$(CC) -fsanitize=fuzzer,$(FUZZ_SAN) -pthread -o $@ $^ $(LIBS) \
	    $(LIBS_SMTPD)
.PRECIOUS: $(B)/obj/tests/fuzz/fuzz_%.o

run-fuzz: $(patsubst %,$(B)/fuzz_%,$(FUZZ))
	@failed=0; for name in $(FUZZ); do \
	    mkdir -p $(B)/corpus/$$name; \
	    if $(B)/fuzz_$$name -max_total_time=$(FUZZ_SECONDS) -timeout=10 \
	        -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
	        -dict=tests/fuzz/$$name.dict -artifact_prefix=$(B)/crash-$$name- \
	        $(B)/corpus/$$name tests/fuzz/corpus/$$name \
	        > $(B)/$$name.log 2>&1; \
	    then echo "fuzz $$name: $$(sed -n \
	        's/^stat::number_of_executed_units: *//p' $(B)/$$name.log) runs"; \
	    else failed=$$((failed + 1)); tail -40 $(B)/$$name.log; \
	        echo "fuzz $$name: FAILED, see $(B)/$$name.log"; fi; \
	done; echo "$(words $(FUZZ)) targets, $$failed failed"; test $$failed = 0
.PHONY: fuzz run-fuzz
