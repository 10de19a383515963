#include "internal.h"

#include <string.h>

rlua_box *rlua_box_at(const rlua_state *state, lua_State *L, int index) {
    rlua_box *box = lua_touserdata(L, index);
    return box && lua_type(L, index) == LUA_TUSERDATA && lua_rawlen(L, index) == sizeof *box && box->state == state
               ? box
               : NULL;
}

/// Adds the box on top of the stack to the innermost scope's list.
static void track(rlua_state *state, lua_State *L) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->scopes[state->scope_count - 1]);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
}

void rlua_push_object(rlua_state *state, lua_State *L, rlua_value *value) {
    rlua_class *class = state->classes[value->class_id];
    if (class->shared) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, state->faces);
        if (lua_rawgetp(L, -1, value->object) == LUA_TUSERDATA) {
            const rlua_box *face = lua_touserdata(L, -1);
            if (face->object == value->object) {
                lua_remove(L, -2);
                return; // The arena gives back the second reference.
            }
        }
        lua_pop(L, 1);
    }
    rlua_box *box = lua_newuserdatauv(L, sizeof *box, class->shared ? 1 : 0);
    *box = (rlua_box){.state = state, .class_id = value->class_id};
    lua_rawgeti(L, LUA_REGISTRYINDEX, class->metatable);
    lua_setmetatable(L, -2);
    box->object = value->object;
    value->object = NULL;
    state->boxes++;
    if (class->shared) {
        int definition = state->library.definition(state->library.context, box->object);
        if (definition) {
            lua_rawgeti(L, LUA_REGISTRYINDEX, definition);
            lua_setiuservalue(L, -2, 1);
        }
        lua_pushvalue(L, -1);
        lua_rawsetp(L, -3, box->object);
        lua_remove(L, -2);
    }
    if (class->tracked && state->scope_count) track(state, L);
}

static void release(rlua_box *box, int scope_line) {
    void *object = box->object;
    if (!object) return;
    box->object = NULL;
    box->scope_line = scope_line;
    box->state->boxes--;
    box->state->library.release(object);
}

// MARK: - Metamethods

/// free(x) and __close and __gc: may be called again and again.
static int free_object(lua_State *L) {
    rlua_box *box = rlua_box_at(lua_touserdata(L, lua_upvalueindex(1)), L, 1);
    if (box) release(box, 0);
    return 0;
}

static int equal(lua_State *L) {
    const rlua_state *state = lua_touserdata(L, lua_upvalueindex(1));
    const rlua_box *a = rlua_box_at(state, L, 1), *b = rlua_box_at(state, L, 2);
    lua_pushboolean(L, a && b && a->object == b->object);
    return 1;
}

/// Pushes the definition that the object at 1 borrows fields from. False, with nothing pushed, where there is none.
static bool push_definition(lua_State *L) {
    if (lua_getiuservalue(L, 1, 1) == LUA_TTABLE) return true;
    lua_pop(L, 1);
    return false;
}

/// object[key]: methods, then fields, then what the definition has, then what the class answers.
static int get_member(lua_State *L) {
    rlua_class *class = lua_touserdata(L, lua_upvalueindex(1));
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    switch (lua_rawget(L, lua_upvalueindex(2))) {
    case LUA_TFUNCTION: return 1;
    case LUA_TLIGHTUSERDATA: {
        const rlua_row *getter = lua_touserdata(L, -1);
        lua_settop(L, 1);
        return rlua_answer(L, getter);
    }
    }
    lua_settop(L, 2);
    if (class->shared && rlua_box_at(class->state, L, 1) && push_definition(L)) {
        lua_pushvalue(L, 2);
        if (lua_rawget(L, 3) != LUA_TNIL) return 1;
        lua_settop(L, 2);
    }
    return class->index ? rlua_answer(L, class->index) : 0;
}

/// object[key] = value: fields, then the class, then the definition where the class lets it pass.
static int set_member(lua_State *L) {
    rlua_class *class = lua_touserdata(L, lua_upvalueindex(1));
    lua_settop(L, 3);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(2)) == LUA_TLIGHTUSERDATA) {
        const rlua_row *setter = lua_touserdata(L, -1);
        lua_settop(L, 3);
        lua_remove(L, 2);
        return rlua_answer(L, setter);
    }
    lua_settop(L, 3);
    bool is_plain = !rlua_box_at(class->state, L, 3);
    if (class->shared && is_plain && rlua_box_at(class->state, L, 1) && push_definition(L)) {
        lua_insert(L, 2);
        lua_rawset(L, 2);
        return 0;
    }
    return class->newindex ? rlua_answer(L, class->newindex) : 0;
}

/// object(...): the definition's `forward` where there is one, without a detour.
static int call_member(lua_State *L) {
    rlua_class *class = lua_touserdata(L, lua_upvalueindex(1));
    if (class->shared && rlua_box_at(class->state, L, 1) && push_definition(L)) {
        lua_pushliteral(L, "forward");
        if (lua_rawget(L, -2) == LUA_TFUNCTION) {
            lua_remove(L, -2);
            lua_insert(L, 1);
            lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
            return lua_gettop(L);
        }
        lua_pop(L, 2);
    }
    return rlua_answer(L, class->call);
}

/// Whether the call at a level is of the object on top of the stack: by call_member, or of its definition's `forward`.
static bool is_call_of_top(lua_State *L, lua_Debug *frame) {
    int object = lua_gettop(L);
    lua_getinfo(L, "f", frame);
    bool is_call = lua_tocfunction(L, -1) == call_member;
    if (!is_call && lua_getiuservalue(L, object, 1) == LUA_TTABLE) {
        lua_pushliteral(L, "forward");
        lua_rawget(L, -2);
        is_call = lua_rawequal(L, object + 1, -1);
    }
    lua_settop(L, object);
    return is_call;
}

void rlua_each_call(rlua_state *state, void *context, void (*body)(void *context, void *object)) {
    enum { LEVELS = 400 };
    lua_State *L = state->running;
    lua_Debug frame;
    for (int level = 0; L && level < LEVELS && lua_checkstack(L, 8) && lua_getstack(L, level, &frame); level++) {
        if (!lua_getlocal(L, &frame, 1)) continue;
        const rlua_box *box = rlua_box_at(state, L, lua_gettop(L));
        if (box && box->object && state->classes[box->class_id]->shared && is_call_of_top(L, &frame))
            body(context, box->object);
        lua_pop(L, 1);
    }
}

// MARK: - Classes

int rlua_class_new(rlua_state *state, const char *word, bool shared, bool tracked) {
    lua_State *L = state->main;
    rlua_class *class = rlua_reallocate(NULL, sizeof *class);
    *class = (rlua_class){.state = state, .shared = shared, .tracked = tracked};
    state->classes = rlua_reallocate(state->classes, ((size_t)state->class_count + 1) * sizeof *state->classes);
    state->classes[state->class_count] = class;

    lua_createtable(L, 0, 16);
    lua_newtable(L);
    lua_newtable(L);
    int setters = lua_gettop(L), members = setters - 1, metatable = setters - 2;
    lua_pushfstring(L, "riffle.%s", word);
    lua_setfield(L, metatable, "__name");
    lua_pushboolean(L, false);
    lua_setfield(L, metatable, "__metatable");
    static const struct {
        const char *name;
        lua_CFunction function;
        bool always;
    } metamethods[] = {
        {"__gc", free_object, true},
        {"__close", free_object, false},
        {"__eq", equal, true},
    };
    for (size_t i = 0; i < sizeof metamethods / sizeof *metamethods; i++) {
        if (!metamethods[i].always && !tracked) continue;
        lua_pushlightuserdata(L, state);
        lua_pushcclosure(L, metamethods[i].function, 1);
        lua_setfield(L, metatable, metamethods[i].name);
    }
    lua_pushlightuserdata(L, class);
    lua_pushvalue(L, members);
    lua_pushcclosure(L, get_member, 2);
    lua_setfield(L, metatable, "__index");
    lua_pushlightuserdata(L, class);
    lua_pushvalue(L, setters);
    lua_pushcclosure(L, set_member, 2);
    lua_setfield(L, metatable, "__newindex");

    // The prelude adds methods of its own, and help looks names up, through these tables.
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->roots[RLUA_INTERNAL]);
    luaL_getsubtable(L, -1, "members");
    lua_pushvalue(L, members);
    lua_setfield(L, -2, word);
    lua_pop(L, 2);

    lua_pushstring(L, word);
    class->word = luaL_ref(L, LUA_REGISTRYINDEX);
    class->setters = luaL_ref(L, LUA_REGISTRYINDEX);
    class->members = luaL_ref(L, LUA_REGISTRYINDEX);
    class->metatable = luaL_ref(L, LUA_REGISTRYINDEX);
    return state->class_count++;
}

void rlua_class_set(rlua_state *state, int class_id, rlua_slot slot, const char *name, const rlua_row *row) {
    lua_State *L = state->main;
    rlua_class *class = state->classes[class_id];
    if (slot == RLUA_META) {
        if (!strcmp(name, "__index")) {
            class->index = row;
            return;
        }
        if (!strcmp(name, "__newindex")) {
            class->newindex = row;
            return;
        }
        lua_rawgeti(L, LUA_REGISTRYINDEX, class->metatable);
        if (!strcmp(name, "__call")) {
            class->call = row;
            lua_pushlightuserdata(L, class);
            lua_pushcclosure(L, call_member, 1);
        } else {
            rlua_push_row(L, row);
        }
    } else {
        lua_rawgeti(L, LUA_REGISTRYINDEX, slot == RLUA_SETTER ? class->setters : class->members);
        if (slot == RLUA_METHOD) {
            rlua_push_row(L, row);
        } else {
            lua_pushlightuserdata(L, (void *)row);
        }
    }
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

// MARK: - Scopes

/// open(): begins a scope; returns how many are open.
static int open_scope(lua_State *L) {
    rlua_state *state = lua_touserdata(L, lua_upvalueindex(1));
    if (state->scope_count == state->scope_size) {
        state->scope_size = state->scope_size ? 2 * state->scope_size : 8;
        state->scopes = rlua_reallocate(state->scopes, (size_t)state->scope_size * sizeof *state->scopes);
        state->scope_lines =
            rlua_reallocate(state->scope_lines, (size_t)state->scope_size * sizeof *state->scope_lines);
    }
    lua_newtable(L);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_setmetatable(L, -2);
    state->scopes[state->scope_count] = luaL_ref(L, LUA_REGISTRYINDEX);
    state->scope_lines[state->scope_count++] = rlua_line(L);
    lua_pushinteger(L, state->scope_count);
    return 1;
}

/// Adds the objects in the value on top of the stack, and in tables in it, to the set at `set`.
static void gather(rlua_state *state, lua_State *L, int set, int depth) {
    int top = lua_gettop(L);
    bool is_table = lua_istable(L, top);
    if (!is_table && !rlua_box_at(state, L, top)) return;
    luaL_checkstack(L, 8, "tables nest too deep");
    lua_pushvalue(L, top);
    if (lua_rawget(L, set) != LUA_TNIL) {
        lua_settop(L, top);
        return;
    }
    lua_settop(L, top);
    lua_pushvalue(L, top);
    lua_pushboolean(L, true);
    lua_rawset(L, set);
    if (!is_table || depth == RLUA_DEPTH) return;
    lua_pushnil(L);
    while (lua_next(L, top)) {
        gather(state, L, set, depth + 1);
        lua_pop(L, 1);
    }
}

/// close(n, ...): ends the scopes from the n-th on. What they tracked is freed, but for objects among the rest.
static int close_scope(lua_State *L) {
    rlua_state *state = lua_touserdata(L, lua_upvalueindex(1));
    int number = (int)luaL_checkinteger(L, 1), results = lua_gettop(L);
    if (number < 1 || state->scope_count < number) return 0;
    lua_newtable(L);
    int kept = lua_gettop(L);
    for (int i = 2; i <= results; i++) {
        lua_pushvalue(L, i);
        gather(state, L, kept, 0);
        lua_settop(L, kept);
    }
    while (state->scope_count >= number) {
        int line = state->scope_lines[--state->scope_count];
        lua_rawgeti(L, LUA_REGISTRYINDEX, state->scopes[state->scope_count]);
        luaL_unref(L, LUA_REGISTRYINDEX, state->scopes[state->scope_count]);
        int list = lua_gettop(L);
        lua_pushnil(L);
        while (lua_next(L, list)) {
            rlua_box *box = lua_touserdata(L, -1);
            lua_pushvalue(L, -1);
            bool keep = lua_rawget(L, kept) != LUA_TNIL;
            lua_pop(L, 1);
            if (keep) {
                if (state->scope_count) track(state, L);
            } else if (!box->is_kept) {
                release(box, line);
            }
            lua_pop(L, 1);
        }
        lua_settop(L, kept);
    }
    return 0;
}

/// keep(x): takes an object out of every scope.
static int keep_object(lua_State *L) {
    rlua_box *box = rlua_box_at(lua_touserdata(L, lua_upvalueindex(1)), L, 1);
    if (!box) rlua_raise(L, "keep: a tensor is wanted", 24);
    box->is_kept = true;
    lua_settop(L, 1);
    return 1;
}

/// word_of(x): the word for the class of an object of ours; nil for anything else.
static int word_of(lua_State *L) {
    rlua_state *state = lua_touserdata(L, lua_upvalueindex(1));
    const rlua_box *box = rlua_box_at(state, L, 1);
    if (!box) return 0;
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->classes[box->class_id]->word);
    return 1;
}

/// is_callable(x): whether x(...) means something.
static int is_callable(lua_State *L) {
    lua_pushboolean(L, lua_isfunction(L, 1) || luaL_getmetafield(L, 1, "__call") != LUA_TNIL);
    return 1;
}

/// enclosed(fn, ...): pcall where a coroutine cannot yield, so that modes are put back before anyone else runs.
static int enclosed(lua_State *L) {
    bool ok = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0) == LUA_OK;
    lua_pushboolean(L, ok);
    lua_insert(L, 1);
    return lua_gettop(L);
}

void rlua_open_scopes(rlua_state *state) {
    lua_State *L = state->main;
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->roots[RLUA_INTERNAL]);
    lua_newtable(L);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    static const luaL_Reg functions[] = {
        {"open_scope", open_scope}, {"close_scope", close_scope}, {"keep", keep_object},  {"free", free_object},
        {"word_of", word_of},       {"is_callable", is_callable}, {"enclosed", enclosed}, {NULL, NULL},
    };
    for (const luaL_Reg *entry = functions; entry->name; entry++) {
        lua_pushlightuserdata(L, state);
        lua_pushvalue(L, -2);
        lua_pushcclosure(L, entry->func, 2);
        lua_setfield(L, -3, entry->name);
    }
    lua_pop(L, 2);
}
