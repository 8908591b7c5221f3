/* fuzz_sts_policy.c - MTA-STS: the same octets as TXT record and as policy
 * file. A policy that is taken reads the same from its normal form. */
#include "fuzz.h"
#include "../../smtpd/sts_policy.c"

FUZZ(text, len, p)
{
    sts_policy_t *policy, *again;
    const char *why, *normal, *id = sts_txt_id(text, p);
    char *exact = fuzz_exact(text, len);

    FUZZ_MUST(!id || (*id && strlen(id) <= STS_ID_MAX));
    if (sts_policy_parse(&policy, exact, len, &why, p) == APR_SUCCESS) {
        normal = sts_policy_text(policy, p);
        FUZZ_MUST(sts_policy_parse(&again, normal, strlen(normal), &why, p)
                  == APR_SUCCESS);
        FUZZ_MUST(!strcmp(normal, sts_policy_text(again, p)));
        sts_policy_matches(policy, text);
    }
    else
        FUZZ_MUST(why != NULL);
    free(exact);
}
