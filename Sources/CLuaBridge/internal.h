#pragma once

#include "CLuaBridge.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <stdatomic.h>

/// How the sources of our own Lua code begin: errors and tracebacks pass over it.
#define RLUA_PRELUDE "=[riffle"

/// Tables may nest this deep, and hold this many values in all, on their way in.
enum { RLUA_DEPTH = 64, RLUA_VALUES = 1 << 26 };

/// A block of the arena. Blocks never move, so pointers into them last.
typedef struct rlua_block {
    struct rlua_block *previous, *next;
    size_t used, size;
    _Alignas(16) char bytes[];
} rlua_block;

/// Values and text of the calls in progress, last in first out, and those among the values that own something.
typedef struct {
    rlua_block *block;
    rlua_value **owned;
    size_t owned_count, owned_size;
} rlua_arena;

typedef struct {
    rlua_block *block;
    size_t used, owned;
} rlua_mark;

struct rlua_row {
    rlua_state *state;
    rlua_body body;
    void *context;
    rlua_reading reading;
    struct rlua_row *next;
};

typedef struct {
    rlua_state *state;
    /// Registry references of the word, of the metatable, of methods and getters by name, and of setters by name.
    int word, metatable, members, setters;
    const rlua_row *index, *newindex, *call;
    bool shared, tracked;
} rlua_class;

/// What a Lua value of one of our classes is. `state` distinguishes a box from other userdata: nobody else writes our
/// address.
typedef struct {
    rlua_state *state;
    void *object;
    int32_t class_id;
    /// The line where the scope began that freed the object, or 0.
    int32_t scope_line;
    /// Whether a script took the object out of every scope.
    bool is_kept;
} rlua_box;

struct rlua_state {
    lua_State *main;
    /// The coroutine that runs. rlua_interrupt reads this in a signal handler.
    _Atomic(lua_State *) running;
    rlua_library library;
    rlua_arena arena;
    rlua_row *rows;
    rlua_class **classes;
    int class_count;
    /// Registry references: root tables, faces of shared objects, the metatable of lists and tables, the traceback.
    int roots[2], faces, list_metatable, table_metatable, traceback;
    /// Objects that Lua holds, and how many of them the last full collection left.
    size_t boxes, boxes_left;
    /// Set when finalizers run for the last time: they can no longer call the library.
    bool is_closing;
    /// Set while a call in progress has garbage collected: finalizers that scripts wrote cannot call the library then.
    bool is_reclaiming;
    /// Set while an error that the handler has seen before is raised again.
    bool reraising;
    /// Registry references of the scopes that are open, innermost last, and the lines they began on.
    int *scopes, *scope_lines;
    int scope_count, scope_size;
    pthread_mutex_t lock;
    int *forgotten;
    size_t forgotten_size;
    atomic_size_t forgotten_count;
};

// call.c
/// A full collection of Lua's garbage.
void rlua_collect_now(rlua_state *state, lua_State *L);

// arena.c
rlua_mark rlua_arena_mark(const rlua_state *state);
void rlua_arena_reset(rlua_state *state, rlua_mark mark);
void rlua_arena_destroy(rlua_state *state);
void rlua_own(rlua_state *state, rlua_value *value);

// values.c
/// Reads the value at `index`, which is counted from the bottom of the stack.
void rlua_read(rlua_state *state, lua_State *L, int index, rlua_reading reading, rlua_value *value);
/// Pushes a value; its object goes over to Lua. A table takes three slots of the stack for each level of nesting.
void rlua_push(rlua_state *state, lua_State *L, rlua_value *value);

// objects.c
rlua_box *rlua_box_at(const rlua_state *state, lua_State *L, int index);
void rlua_push_object(rlua_state *state, lua_State *L, rlua_value *value);
void rlua_open_scopes(rlua_state *state);
void rlua_open_coroutines(rlua_state *state);
/// Has an interrupt that stops one thread of Lua stop another.
void rlua_pass_interrupt(lua_State *from, lua_State *to);

// call.c
/// Answers the running C function's call with a row. Raises what the row reports.
int rlua_answer(lua_State *L, const rlua_row *row);
void rlua_push_row(lua_State *L, const rlua_row *row);

// errors.c
/// Raises a message that begins with the user's own line.
_Noreturn void rlua_raise(lua_State *L, const char *bytes, size_t length);
void rlua_push_location(lua_State *L);
/// Whether a frame, with "S" and "l" filled in, is a line that the user wrote.
bool rlua_is_users(const lua_Debug *frame);
/// The user's own line, or 0.
int rlua_line(lua_State *L);
int rlua_handler(lua_State *L);
int rlua_fail(lua_State *L);

/// Memory for the bridge's own lists: aborts with a sentence where there is none.
void *rlua_reallocate(void *block, size_t bytes);
