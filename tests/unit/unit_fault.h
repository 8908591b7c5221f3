/* unit_fault.h - faults (mg_fault.h) in a unit test. */
#ifndef UNIT_FAULT_H
#define UNIT_FAULT_H

#include <apr_pools.h>

enum { UNIT_FAULT_KILL = 1, UNIT_FAULT_EIO, UNIT_FAULT_ENOSPC,
       UNIT_FAULT_DELAY, UNIT_FAULT_LOST };

/** Makes the file and names it by MG_TEST_DIR; first of all. Goes with p. */
void unit_fault_dir(apr_pool_t *p);
/** One at a time. @param count  how often, -1: until it is cleared */
void unit_fault_set(const char *point, int action, apr_int64_t argument,
                    apr_int64_t count);
void unit_fault_unset(void);
#endif
