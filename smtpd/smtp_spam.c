/* smtp_spam.c - see smtp_spam.h. */
#include <apr_strings.h>
#include <string.h>

#include "mg_event.h"
#include "mg_log.h"
#include "mg_mime.h"
#include "smtp_inbound.h"
#include "smtp_spam.h"
#include "spamc.h"

enum { DISABLED, TAG, BLOCK };

/* Rules of SpamAssassin, of rspamd, and what is said of them. The first that is
 * there counts. */
typedef struct {
    const char *assassin, *rspamd, *word;
} verdict_t;

static const verdict_t spf[] = {
    { "SPF_PASS", "R_SPF_ALLOW", "Pass" },
    { "SPF_FAIL", "R_SPF_FAIL", "Fail" },
    { "SPF_SOFTFAIL", "R_SPF_SOFTFAIL", "SoftFail" },
    { "SPF_NEUTRAL", "R_SPF_NEUTRAL", "Neutral" },
    { NULL, NULL, NULL }
};

static const verdict_t dkim[] = {
    { "DKIM_VALID", "R_DKIM_ALLOW", "Pass" },
    { "DKIM_INVALID", "R_DKIM_REJECT", "Fail" },
    { "DKIM_SIGNED", "R_DKIM_PERMFAIL", "Fail" },
    { NULL, NULL, NULL }
};

apr_status_t smtp_spam_setup(smtp_server_t *server)
{
    worker_t *worker = server->worker;

    if (!worker->config->spamd)
        return APR_SUCCESS;
    return spamc_create(&server->spamc, worker->loop, worker->config,
                        server->pool);
}

/* --- who asks for it --- */

static int action_of(smtp_tx_t *tx, apr_int64_t domain_id)
{
    worker_t *worker = tx->session->server->worker;
    const mg_domain_t *domain;
    const char *action;

    /* an outage is told when it is decided who gets it */
    if (mg_domain_cached_by_id(&domain, worker->domains, worker->db, domain_id)
        != APR_SUCCESS)
        return DISABLED;
    action = mg_domain_setting(domain, "spam_action");
    if (action && strcmp(action, "tag") == 0)
        return TAG;
    return action && strcmp(action, "block") == 0 ? BLOCK : DISABLED;
}

/* @return 1: some domain wants to know */
static int find_actions(smtp_tx_t *tx)
{
    int i, k, any = 0;

    for (i = 0; i < tx->shares->nelts; i++) {
        smtp_share_t *share = APR_ARRAY_IDX(tx->shares, i, smtp_share_t *);

        for (k = 0; k < tx->rcpts->nelts; k++) {
            const mg_wanted_t *wanted =
                &APR_ARRAY_IDX(tx->rcpts, k, smtp_rcpt_t *)->wanted;

            if (wanted->domain_id == share->domain_id
                && !mg_routing_is_keepers(wanted))
                break;
        }
        if (k < tx->rcpts->nelts)
            share->spam_action = action_of(tx, share->domain_id);
        any |= share->spam_action != DISABLED;
    }
    return any;
}

/* --- what came of it --- */

static const char *word_of(const spamc_answer_t *answer, const verdict_t *v)
{
    for (; v->word; v++)
        if (spamc_has_rule(answer, v->assassin)
            || spamc_has_rule(answer, v->rspamd))
            return v->word;
    return NULL;
}

/* Names, folded before each so that lines stay short. */
static const char *folded(const char *rules, apr_pool_t *p)
{
    char *text = apr_palloc(p, 4 * strlen(rules) + 1), *to = text;
    apr_size_t column = 0;

    for (; *rules; rules++) {
        *to++ = *rules;
        column++;
        if (*rules == ',' && column > 50) {
            memcpy(to, "\r\n ", 3);
            to += 3;
            column = 0;
        }
    }
    *to = '\0';
    return text;
}

static void tag(smtp_tx_t *tx, smtp_share_t *share,
                const spamc_answer_t *answer, int is_spam)
{
    const char *spf_word = word_of(answer, spf);
    const char *dkim_word = word_of(answer, dkim);

    smtp_inbound_add(tx, share, "X-Mailgun-SFlag", is_spam ? "Yes" : "No");
    smtp_inbound_add(tx, share, "X-Mailgun-SScore",
                     apr_pstrdup(tx->pool, answer->score_text));
    if (spf_word)
        smtp_inbound_add(tx, share, "X-Mailgun-SPF", spf_word);
    if (dkim_word)
        smtp_inbound_add(tx, share, "X-Mailgun-Dkim-Check-Result", dkim_word);
    if (*answer->rules)
        smtp_inbound_add(tx, share, "X-Mailgun-Spam-Rules",
                         folded(answer->rules, tx->pool));
}

static void apply(smtp_tx_t *tx, const spamc_answer_t *answer)
{
    worker_t *worker = tx->session->server->worker;
    int is_spam = answer->score >= worker->config->spam_threshold;
    const char *why = NULL;
    int i;

    if (answer->skipped)
        why = apr_pstrcat(tx->pool, "skipped; ", answer->skipped, NULL);
    mg_shared_add(worker->shared, worker->slot, why ? MG_GAUGE_SPAM_UNCHECKED
                                                    : MG_GAUGE_SPAM_CHECKED, 1);
    for (i = 0; i < tx->shares->nelts; i++) {
        smtp_share_t *share = APR_ARRAY_IDX(tx->shares, i, smtp_share_t *);

        if (share->spam_action == DISABLED)
            continue;
        if (why)
            smtp_inbound_add(tx, share, "X-Mailgun-Spam-Check", why);
        else if (share->spam_action == TAG)
            tag(tx, share, answer, is_spam);
        else
            share->is_spam = is_spam;
    }
}

/* --- asking --- */

/* SPF is of the envelope's sender; what stands above Received: is trusted. */
static const char *return_path(const smtp_tx_t *tx)
{
    return apr_psprintf(tx->pool, "Return-Path: <%s>\r\n", tx->sender);
}

static apr_status_t content(apr_int64_t offset, char *to, apr_size_t len,
                            void *baton)
{
    const smtp_tx_t *tx = baton;
    apr_int64_t path_len = (apr_int64_t)strlen(tx->return_path);
    apr_size_t n = 0;

    if (offset < path_len) {
        n = (apr_size_t)(path_len - offset);
        if (n > len)
            n = len;
        memcpy(to, tx->return_path + offset, n);
    }
    return smtp_tx_original(tx, offset + (apr_int64_t)n - path_len, to + n,
                            len - n);
}

static void on_answer(const spamc_answer_t *answer, void *baton)
{
    smtp_tx_t *tx = baton;

    tx->spam_check = NULL;
    apply(tx, answer);
    smtp_data_checked(tx->session);
}

/* Once, not for each message: an operator should see it. */
static void warn_of_none(smtp_server_t *server)
{
    if (server->spam_told)
        return;
    server->spam_told = 1;
    mg_log(MG_LOG_WARN, APR_SUCCESS, "spam: a domain's spam_action asks for a "
           "spam filter, and there is no MailgunSpamd; its mail passes "
           "unchecked");
}

int smtp_spam_check(smtp_tx_t *tx)
{
    smtp_server_t *server = tx->session->server;
    spamc_answer_t none;
    apr_int64_t size;

    if (!find_actions(tx))
        return 0;
    if (!server->spamc) {
        memset(&none, 0, sizeof(none));
        none.skipped = "there is no spam filter";
        warn_of_none(server);
        apply(tx, &none);
        return 0;
    }
    tx->return_path = return_path(tx);
    size = (apr_int64_t)(strlen(tx->return_path) + tx->head_len + tx->rest_len)
           + tx->body.file_size;
    tx->spam_check = spamc_ask(server->spamc, size, content, on_answer, tx);
    return 1;
}

void smtp_spam_forget(smtp_tx_t *tx)
{
    if (tx->spam_check)
        spamc_forget(tx->spam_check);
    tx->spam_check = NULL;
}

/* --- what is dropped --- */

int smtp_spam_drops(smtp_tx_t *tx, const smtp_share_t *share,
                    const smtp_rcpt_t *rcpt)
{
    if (!share->is_spam || mg_routing_is_keepers(&rcpt->wanted))
        return 0;
    if (!tx->dropped)
        tx->dropped = apr_array_make(tx->pool, 2, sizeof(smtp_rcpt_t *));
    APR_ARRAY_PUSH(tx->dropped, const smtp_rcpt_t *) = rcpt;
    return 1;
}

apr_status_t smtp_spam_append(mg_db_t *db, const smtp_tx_t *tx,
                              apr_pool_t *ptemp)
{
    const mg_header_t *subject = mg_mime_header(tx->headers, "Subject");
    apr_status_t rv = APR_SUCCESS;
    mg_event_t event;
    int i;

    for (i = 0; tx->dropped && rv == APR_SUCCESS && i < tx->dropped->nelts;
         i++) {
        const mg_wanted_t *wanted =
            &APR_ARRAY_IDX(tx->dropped, i, const smtp_rcpt_t *)->wanted;

        memset(&event, 0, sizeof(event));
        event.kind = MG_EVENT_SPAM_DROPPED;
        event.direction = MG_INCOMING;
        event.account_id = wanted->account_id;
        event.domain_id = wanted->domain_id;
        event.at = tx->now;
        event.sender = tx->sender;
        event.recipient = wanted->to->address;
        event.subject = subject ? subject->value : NULL;
        rv = mg_event_append(db, &event, ptemp);
    }
    return rv;
}

void smtp_spam_log(const smtp_session_t *s)
{
    const smtp_tx_t *tx = s->tx;
    int i;

    for (i = 0; tx->dropped && i < tx->dropped->nelts; i++) {
        const mg_wanted_t *wanted =
            &APR_ARRAY_IDX(tx->dropped, i, const smtp_rcpt_t *)->wanted;

        mg_log(MG_LOG_INFO, APR_SUCCESS, "smtp spam dropped: domain=%s "
               "message-id=<%s> client=[%s] from=<%s> to=<%s>", wanted->domain,
               tx->message_id, conn_peer_ip(s->conn), tx->sender,
               wanted->to->address);
    }
}
