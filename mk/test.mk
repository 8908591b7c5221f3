# mk/test.mk - how things are tested.
UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c))
UNIT_LIB := $(sort $(wildcard tests/unit/unit_*.c))
UNIT_BIN := $(patsubst tests/unit/%.c,$(B)/unit/%,$(UNIT_SRC))

# a test of smtpd's parts links all of smtpd but its main
SMTPD_PARTS := $(filter-out smtpd/main.c,$(SMTPD_SRC))
$(B)/unit/test_%: $(B)/obj/tests/unit/test_%.o $(call obj,$(UNIT_LIB)) \
    $(call obj,$(SMTPD_PARTS)) $(B)/libmailgun.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS) $(LIBS_SMTPD) -lcmocka
