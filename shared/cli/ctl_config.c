/* ctl_config.c - mailgunctl config: the table of directives, and whether the
 * file is right.
 *
 * docs/CONFIG.md is compared with this (tests/checks/config_docs): three lines
 * a directive, an empty one between.
 */
#include "ctl.h"

#include <stdio.h>

int ctl_config_print(ctl_t *ctl)
{
    const mg_directive_t *d;
    int i, n;

    (void)ctl;
    d = mg_config_directives(&n);
    for (i = 0; i < n; i++) {
        printf("%s%s %s\n", i ? "\n" : "", d[i].name, d[i].args);
        printf("    default: %s\n", *d[i].default_text ? d[i].default_text
                                                      : "none");
        printf("    %s\n", d[i].help);
    }
    return 0;
}

int ctl_config_check(ctl_t *ctl)
{
    int code = ctl_config(ctl);

    if (code == 0)
        printf("%s: nothing wrong\n", ctl->conf_path);
    return code;
}
