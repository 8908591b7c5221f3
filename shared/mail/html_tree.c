/* html_tree.c - html as gumbo's tree, within a budget (html_tree.h).
 *
 * What gumbo allocates is counted, and each time it is asked whether enough was
 * spent: hostile html (tags nested by the ten thousand, as many attributes)
 * ends by a jump out of the parser. All it had is on a list and freed then.
 */
#include <setjmp.h>
#include <stdlib.h>

#include "html_tree.h"
#include "mg_time.h"

#define MEMORY_MAX (64 * 1024 * 1024)
#define LOOK_EVERY 256          /* allocations */

/* --- memory --- */

typedef struct block_t block_t;
struct block_t {
    _Alignas(max_align_t) block_t *next; /* what is behind is aligned, too */
    block_t *prev;
    size_t size;
};

typedef struct {
    block_t all;
    size_t used;
    unsigned int asked;
    apr_time_t until;           /* mg_thread_ticks() */
    jmp_buf out;
} budget_t;

static void *take(void *userdata, size_t size)
{
    budget_t *b = userdata;
    block_t *block;

    if (size > MEMORY_MAX || b->used + size > MEMORY_MAX
        || (++b->asked % LOOK_EVERY == 0 && mg_thread_ticks() > b->until))
        longjmp(b->out, 1);
    block = malloc(sizeof(*block) + size);
    if (block == NULL)
        longjmp(b->out, 1);
    block->size = size;
    block->next = b->all.next;
    block->prev = &b->all;
    b->all.next->prev = block;
    b->all.next = block;
    b->used += size;
    return block + 1;
}

static void give(void *userdata, void *bytes)
{
    budget_t *b = userdata;
    block_t *block;

    if (bytes == NULL)
        return;
    block = (block_t *)bytes - 1;
    block->next->prev = block->prev;
    block->prev->next = block->next;
    b->used -= block->size;
    free(block);
}

static void give_all(budget_t *b)
{
    block_t *block = b->all.next, *next;

    for (; block != &b->all; block = next) {
        next = block->next;
        free(block);
    }
}

/* --- the tree --- */

const GumboVector *html_tree_children(const GumboNode *node)
{
    return node->type == GUMBO_NODE_DOCUMENT ? &node->v.document.children
           : node->type == GUMBO_NODE_ELEMENT ? &node->v.element.children
                                              : NULL;
}

const GumboNode *html_tree_next(const GumboNode *node, const GumboNode *root)
{
    const GumboVector *children = html_tree_children(node);

    if (children && children->length > 0)
        return children->data[0];
    for (; node != root; node = node->parent) {
        const GumboVector *siblings = html_tree_children(node->parent);

        if (siblings == NULL)
            return NULL;
        if (node->index_within_parent + 1 < siblings->length)
            return siblings->data[node->index_within_parent + 1];
    }
    return NULL;
}

/* The jump comes back here, so nothing of this frame may matter then. */
static int parse(budget_t *b, const char *text, apr_size_t len,
                 html_tree_fn *fn, void *baton)
{
    GumboOptions options = kGumboDefaultOptions;

    options.allocator = take;
    options.deallocator = give;
    options.userdata = b;
    options.max_errors = 0;
    if (setjmp(b->out))
        return 0;
    fn(gumbo_parse_with_options(&options, text, len), baton);
    return 1;
}

int html_tree_read(const char *text, apr_size_t len, apr_interval_time_t cpu,
                   html_tree_fn *fn, void *baton)
{
    budget_t b = { .used = 0 }; /* on the stack: a pool aligns to 8 only */
    int done;

    b.all.next = b.all.prev = &b.all;
    b.until = mg_thread_ticks() + cpu;
    done = parse(&b, text, len, fn, baton);
    give_all(&b);
    return done;
}
