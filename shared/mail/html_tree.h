/* html_tree.h - html as gumbo's tree, within a budget of time and memory. */
#ifndef HTML_TREE_H
#define HTML_TREE_H

#include <apr_time.h>
#include <gumbo.h>

typedef void html_tree_fn(const GumboOutput *output, void *baton);
/**
 * The tree is fn's until it returns; its offsets are the text's.
 *
 * @param cpu  microseconds of this thread at most
 * @return 0: it took too much, fn was not called
 */
int html_tree_read(const char *text, apr_size_t len, apr_interval_time_t cpu,
                   html_tree_fn *fn, void *baton);
/** NULL: it can have none. */
const GumboVector *html_tree_children(const GumboNode *node);
/** The node that follows in the order of the text; NULL behind root. No
 * recursion: a tree may be deeper than a thread's stack. What is in <template>
 * is not shown. */
const GumboNode *html_tree_next(const GumboNode *node, const GumboNode *root);

#endif
