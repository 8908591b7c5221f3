/* unit_dir.h - a place for a test's files. */
#ifndef UNIT_DIR_H
#define UNIT_DIR_H

#include <stddef.h>

/**
 * Make <somewhere>/<name>-XXXXXX.
 *
 * In memory (/dev/shm) if there is room: a test that counts on a disk's
 * answers asks failpoints, not the disk. Else under build/ if every user may
 * walk there, else in /tmp.
 *
 * @return 0 if there is no such directory now
 */
int unit_dir_make(char *dir, size_t size, const char *name);
/** The same on a disk. */
int unit_dir_make_on_disk(char *dir, size_t size, const char *name);
/** rm -r */
void unit_dir_remove(const char *dir);

#endif
