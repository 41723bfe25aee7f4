#include "shims/simdjson_shim.h"

#include <memory>
#include <new>
#include <simdjson.h>

using namespace simdjson;

static_assert(SIMDJSON_PADDING <= KAL_SIMDJSON_PADDING, "the caller pads too little");

namespace
{

constexpr size_t SHARED_PARSER_BYTES = 64 * 1024;

class Walk
{
  public:
    Walk(const char *json, unsigned depth_max, const kal_simdjson_events &events)
        : json_(json), depth_left_(depth_max), events_(events)
    {
    }

    kal_simdjson_result array(ondemand::array elements)
    {
        if (depth_left_ == 0)
            return KAL_SIMDJSON_DEPTH;
        depth_left_--;
        if (!events_.begin(events_.context, false, offset))
            return KAL_SIMDJSON_STOPPED;
        for (simdjson_result<ondemand::value> element : elements) {
            ondemand::value v;
            if (element.get(v) != SUCCESS)
                return KAL_SIMDJSON_SYNTAX;
            kal_simdjson_result result = value(v);
            if (result != KAL_SIMDJSON_OK)
                return result;
        }
        depth_left_++;
        return events_.end(events_.context, false) ? KAL_SIMDJSON_OK : KAL_SIMDJSON_STOPPED;
    }

    size_t offset = 0; /* of the part visited last */

  private:
    kal_simdjson_result object(ondemand::object fields)
    {
        if (depth_left_ == 0)
            return KAL_SIMDJSON_DEPTH;
        depth_left_--;
        if (!events_.begin(events_.context, true, offset))
            return KAL_SIMDJSON_STOPPED;
        for (simdjson_result<ondemand::field> member : fields) {
            ondemand::field field;
            if (std::move(member).get(field) != SUCCESS)
                return KAL_SIMDJSON_SYNTAX;
            offset = static_cast<size_t>(field.key().raw() - 1 - json_);
            std::string_view key;
            if (field.unescaped_key().get(key) != SUCCESS)
                return KAL_SIMDJSON_STRING;
            if (!events_.key(events_.context, key.data(), key.size(), offset))
                return KAL_SIMDJSON_STOPPED;
            kal_simdjson_result result = value(field.value());
            if (result != KAL_SIMDJSON_OK)
                return result;
        }
        depth_left_++;
        return events_.end(events_.context, true) ? KAL_SIMDJSON_OK : KAL_SIMDJSON_STOPPED;
    }

    kal_simdjson_result value(ondemand::value v)
    {
        std::string_view token = v.raw_json_token();
        offset = static_cast<size_t>(token.data() - json_);
        switch (token.empty() ? '\0' : token[0]) {
        case '[': {
            ondemand::array elements;
            return v.get_array().get(elements) != SUCCESS ? KAL_SIMDJSON_SYNTAX : array(elements);
        }
        case '{': {
            ondemand::object fields;
            return v.get_object().get(fields) != SUCCESS ? KAL_SIMDJSON_SYNTAX : object(fields);
        }
        case '"': {
            std::string_view text;
            if (v.get_string().get(text) != SUCCESS)
                return KAL_SIMDJSON_STRING;
            return events_.string(events_.context, text.data(), text.size(), offset)
                       ? KAL_SIMDJSON_OK
                       : KAL_SIMDJSON_STOPPED;
        }
        default:
            return scalar(token);
        }
    }

    /* On Demand steps over the token itself when the loop moves on. */
    kal_simdjson_result scalar(std::string_view token)
    {
        size_t last = token.find_last_not_of(" \t\r\n");
        if (last == std::string_view::npos || token.find_first_of(",:]}") == 0)
            return KAL_SIMDJSON_SYNTAX;
        return events_.scalar(events_.context, token.data(), last + 1, offset)
                   ? KAL_SIMDJSON_OK
                   : KAL_SIMDJSON_STOPPED;
    }

    const char *json_;
    unsigned depth_left_;
    const kal_simdjson_events &events_;
};

kal_simdjson_result result_of(error_code error)
{
    switch (error) {
    case UTF8_ERROR:
        return KAL_SIMDJSON_UTF8;
    case UNESCAPED_CHARS:
        return KAL_SIMDJSON_CONTROL_CHAR;
    case UNCLOSED_STRING:
        return KAL_SIMDJSON_UNCLOSED;
    case MEMALLOC:
        return KAL_SIMDJSON_MEMORY;
    case CAPACITY:
        return KAL_SIMDJSON_SIZE;
    default:
        return KAL_SIMDJSON_SYNTAX;
    }
}

kal_simdjson_result walk_with(ondemand::parser &parser, const char *json, size_t len,
                              unsigned depth_max, const kal_simdjson_events &events,
                              size_t *offset_out)
{
    ondemand::document document;
    ondemand::array elements;
    error_code error = parser.iterate(json, len, len + KAL_SIMDJSON_PADDING).get(document);
    if (error != SUCCESS)
        return result_of(error);
    error = document.get_array().get(elements);
    if (error != SUCCESS)
        return result_of(error);

    Walk walk(json, depth_max, events);
    kal_simdjson_result result = walk.array(elements);
    *offset_out = walk.offset;
    if (result != KAL_SIMDJSON_OK && result != KAL_SIMDJSON_SYNTAX)
        return result;
    const char *at = nullptr;
    error = document.current_location().get(at);
    if (result == KAL_SIMDJSON_OK && error == OUT_OF_BOUNDS)
        return KAL_SIMDJSON_OK; /* every token was read */
    if (error == SUCCESS && at >= json && at <= json + len)
        *offset_out = static_cast<size_t>(at - json);
    return result == KAL_SIMDJSON_OK ? KAL_SIMDJSON_TRAILING : result;
}

} // namespace

size_t kal_simdjson_memory(size_t len)
{
    /* simdjson keeps 4 bytes per possible token and 5/3 bytes per byte of text. */
    return len <= SHARED_PARSER_BYTES ? 0 : len / 3 * 17 + 4096;
}

kal_simdjson_result kal_simdjson_walk(const char *json, size_t len, unsigned depth_max,
                                      const kal_simdjson_events *events, size_t *offset_out)
{
    *offset_out = len;
    if (len > SHARED_PARSER_BYTES) {
        std::unique_ptr<ondemand::parser> own(new (std::nothrow) ondemand::parser);
        return own == nullptr ? KAL_SIMDJSON_MEMORY
                              : walk_with(*own, json, len, depth_max, *events, offset_out);
    }
    static thread_local ondemand::parser shared(SHARED_PARSER_BYTES);
    return walk_with(shared, json, len, depth_max, *events, offset_out);
}
