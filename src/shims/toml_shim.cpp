#include "shims/toml_shim.h"

#define TOML_EXCEPTIONS 0
#include <algorithm>
#include <cstdio>
#include <new>
#include <string>
#include <toml++/toml.h>
#include <vector>

namespace
{

struct found_leaf {
    std::string path;
    const toml::node *node;
};

/* A table's members come sorted by name; the file's order is by position. */
void collect(const toml::table &table, const std::string &prefix, std::vector<found_leaf> &out)
{
    for (auto &&[key, node] : table) {
        std::string path =
            prefix.empty() ? std::string(key.str()) : prefix + "." + std::string(key.str());
        if (const toml::table *inner = node.as_table())
            collect(*inner, path, out);
        else
            out.push_back({path, &node});
    }
}

kal_toml_leaf leaf_of(const found_leaf &found)
{
    kal_toml_leaf leaf = {};
    leaf.path = found.path.c_str();
    leaf.kind = KAL_TOML_OTHER;
    leaf.line = found.node->source().begin.line;
    if (const auto *text = found.node->as_string()) {
        leaf.kind = KAL_TOML_TEXT;
        leaf.text = text->get().c_str();
        leaf.text_len = text->get().size();
    } else if (const auto *integer = found.node->as_integer()) {
        leaf.kind = KAL_TOML_INTEGER;
        leaf.integer = integer->get();
    } else if (const auto *boolean = found.node->as_boolean()) {
        leaf.kind = KAL_TOML_BOOLEAN;
        leaf.boolean = boolean->get();
    }
    return leaf;
}

} // namespace

bool kal_toml_walk(const char *text, size_t len, kal_toml_visit visit, void *context,
                   char *message_out, size_t message_size, unsigned *line_out)
{
    toml::parse_result result = toml::parse(std::string_view(text, len));
    if (!result) {
        snprintf(message_out, message_size, "%.*s", (int)result.error().description().size(),
                 result.error().description().data());
        *line_out = result.error().source().begin.line;
        return false;
    }
    std::vector<found_leaf> leaves;
    collect(result.table(), "", leaves);
    std::sort(leaves.begin(), leaves.end(), [](const found_leaf &a, const found_leaf &b) {
        return a.node->source().begin < b.node->source().begin;
    });
    for (const found_leaf &found : leaves) {
        kal_toml_leaf leaf = leaf_of(found);
        if (!visit(context, &leaf))
            break;
    }
    return true;
}
