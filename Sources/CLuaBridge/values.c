#include "internal.h"

#include <string.h>

typedef struct {
    rlua_state *state;
    lua_State *L;
    size_t left;
    const char *message;
} reader;

static bool read_value(reader *reader, int index, int depth, rlua_value *value);

static bool read_table(reader *reader, int index, int depth, rlua_value *value) {
    lua_State *L = reader->L;
    if (depth == RLUA_DEPTH || !lua_checkstack(L, 4)) {
        reader->message = "tables nest too deep; does one contain itself?";
        return false;
    }
    // Items 1 to n first, where none is nil; then whatever else there is, by name.
    size_t count = lua_rawlen(L, index), named = 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        named++;
    }
    if (count > named) count = named;
    named -= count;
    if (count > reader->left || 2 * named > reader->left - count) {
        reader->message = "the table holds too many values";
        return false;
    }
    reader->left -= count + 2 * named;
    rlua_value *items = rlua_values(reader->state, count + 2 * named);
    *value = (rlua_value){.kind = RLUA_TABLE, .table = {items, (uint32_t)count, (uint32_t)named}};
    for (size_t i = 0; i < count; i++) {
        int type = lua_rawgeti(L, index, (lua_Integer)i + 1);
        if (type == LUA_TNIL) {
            lua_pop(L, 1);
            reader->message = "the list has a hole (a nil among its items)";
            return false;
        }
        bool fits = read_value(reader, lua_gettop(L), depth + 1, &items[i]);
        lua_pop(L, 1);
        if (!fits) return false;
    }
    if (!named) return true;
    rlua_value *next = items + count, *end = next + 2 * named;
    lua_pushnil(L);
    while (next < end && lua_next(L, index)) {
        int key = lua_gettop(L) - 1;
        bool is_item = lua_isinteger(L, key) && lua_tointeger(L, key) >= 1 && (size_t)lua_tointeger(L, key) <= count;
        if (!is_item) {
            if (!read_value(reader, key, depth + 1, next) || !read_value(reader, key + 1, depth + 1, next + 1))
                return false;
            next += 2;
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return true;
}

static bool read_value(reader *reader, int index, int depth, rlua_value *value) {
    lua_State *L = reader->L;
    switch (lua_type(L, index)) {
    case LUA_TNIL:
    case LUA_TNONE: *value = (rlua_value){.kind = RLUA_NIL}; return true;
    case LUA_TBOOLEAN: *value = (rlua_value){.kind = RLUA_BOOLEAN, .boolean = lua_toboolean(L, index)}; return true;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) {
            *value = (rlua_value){.kind = RLUA_INTEGER, .integer = lua_tointeger(L, index)};
        } else {
            *value = (rlua_value){.kind = RLUA_NUMBER, .number = lua_tonumber(L, index)};
        }
        return true;
    case LUA_TSTRING: {
        value->kind = RLUA_STRING;
        value->string.bytes = lua_tolstring(L, index, &value->string.length);
        return true;
    }
    case LUA_TUSERDATA: {
        const rlua_box *box = rlua_box_at(reader->state, L, index);
        if (!box) break;
        if (box->object) {
            *value = (rlua_value){.kind = RLUA_OBJECT, .class_id = box->class_id, .object = box->object};
        } else {
            *value = (rlua_value){.kind = RLUA_FREED, .class_id = box->class_id, .integer = box->scope_line};
        }
        return true;
    }
    case LUA_TTABLE: return read_table(reader, index, depth, value);
    case LUA_TFUNCTION:
        lua_pushvalue(L, index);
        *value = (rlua_value){.kind = RLUA_REFERENCE, .reference = luaL_ref(L, LUA_REGISTRYINDEX)};
        rlua_own(reader->state, value);
        return true;
    }
    *value = (rlua_value){.kind = RLUA_OTHER};
    value->string.bytes = luaL_typename(L, index);
    value->string.length = strlen(value->string.bytes);
    return true;
}

void rlua_read(rlua_state *state, lua_State *L, int index, rlua_reading reading, rlua_value *value) {
    if (reading == RLUA_BY_REFERENCE && lua_istable(L, index)) {
        lua_pushvalue(L, index);
        *value = (rlua_value){.kind = RLUA_REFERENCE, .reference = luaL_ref(L, LUA_REGISTRYINDEX)};
        rlua_own(state, value);
        return;
    }
    int top = lua_gettop(L);
    reader reader = {state, L, RLUA_VALUES, NULL};
    if (read_value(&reader, index, 0, value)) return;
    lua_settop(L, top);
    *value = (rlua_value){.kind = RLUA_UNREADABLE};
    value->string.bytes = reader.message;
    value->string.length = strlen(reader.message);
}

void rlua_push(rlua_state *state, lua_State *L, rlua_value *value) {
    switch (value->kind) {
    case RLUA_BOOLEAN: lua_pushboolean(L, value->boolean); return;
    case RLUA_INTEGER: lua_pushinteger(L, value->integer); return;
    case RLUA_NUMBER: lua_pushnumber(L, value->number); return;
    case RLUA_STRING: lua_pushlstring(L, value->string.bytes, value->string.length); return;
    case RLUA_OBJECT: rlua_push_object(state, L, value); return;
    case RLUA_REFERENCE: lua_rawgeti(L, LUA_REGISTRYINDEX, value->reference); return;
    case RLUA_TABLE: {
        uint32_t count = value->table.count, named = value->table.named;
        rlua_value *items = value->table.items;
        lua_createtable(L, (int)count, (int)named);
        for (uint32_t i = 0; i < count; i++) {
            rlua_push(state, L, &items[i]);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        for (rlua_value *pair = items + count; pair < items + count + 2 * named; pair += 2) {
            rlua_push(state, L, &pair[0]);
            rlua_push(state, L, &pair[1]);
            lua_rawset(L, -3);
        }
        lua_rawgeti(L, LUA_REGISTRYINDEX, named ? state->table_metatable : state->list_metatable);
        lua_setmetatable(L, -2);
        return;
    }
    case RLUA_NIL:
    case RLUA_FREED:
    case RLUA_OTHER:
    case RLUA_UNREADABLE: lua_pushnil(L); return;
    }
}
