/* mg_render_link.c - where unsubscribe variables lead (mg_track.h). */
#include <apr_strings.h>
#include <string.h>

#include "mg_json.h"
#include "mg_render.h"
#include "mg_status.h"

/* Message.options "tags" as a token has them; NULL: the message has none. */
static const char *tags_of(const json_t *options, apr_pool_t *p)
{
    const json_t *tags = json_object_get(options, "tags"), *tag;
    apr_array_header_t *list = apr_array_make(p, 3, sizeof(char *));
    size_t i;

    json_array_foreach(tags, i, tag)
        if (json_is_string(tag))
            APR_ARRAY_PUSH(list, const char *) = json_string_value(tag);
    return mg_track_tags(list, p);
}

/* A message without tags, or that came by no list, has but the domain's. */
static void fill(mg_track_t *track, mg_link_kind_t kind,
                 const mg_render_for_t *who, apr_pool_t *p)
{
    const char *options = who->message->options, *why;
    const json_t *json = NULL;

    memset(track, 0, sizeof(*track));
    track->kind = MG_TRACK_UNSUBSCRIBE;
    track->domain_id = who->message->domain_id;
    track->message_id = who->message->id;
    track->recipient = who->delivery->recipient;
    if (options && *options && kind == MG_LINK_UNSUBSCRIBE_TAG)
        json = mg_json_parse(options, strlen(options), &why, p);
    if (kind == MG_LINK_UNSUBSCRIBE_TAG) {
        track->text = tags_of(json, p);
        if (track->text)
            track->kind = MG_TRACK_UNSUBSCRIBE_TAGS;
    }
    else if (who->list && (kind == MG_LINK_UNSUBSCRIBE_LIST
                           || kind == MG_LINK_UNSUBSCRIBE_LIST_EMAIL)) {
        track->text = who->list->address;
        track->kind = MG_TRACK_UNSUBSCRIBE_LIST;
    }
}

const char *mg_render_link(mg_link_kind_t kind, const mg_render_for_t *who,
                           apr_pool_t *p)
{
    const mg_render_links_t *links = who->links;
    mg_track_t track;
    char *made;

    if (!links || !who->delivery || !who->delivery->recipient || !*who->domain)
        return NULL;
    fill(&track, kind, who, p);
    if (kind != MG_LINK_UNSUBSCRIBE_EMAIL
        && kind != MG_LINK_UNSUBSCRIBE_LIST_EMAIL)
        return mg_track_url(&made, links->keys, &track, links->scheme,
                            links->host, p) == APR_SUCCESS ? made : NULL;
    if (mg_track_mail_make(&made, links->keys, &track, p) != APR_SUCCESS)
        return NULL;
    return apr_pstrcat(p, made, "@", who->domain, NULL);
}
