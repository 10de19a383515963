#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The one door between Lua and the library, for a caller that must never see a lua_State.
//
// A Lua error is a longjmp, and a longjmp must not cross a frame of Swift. So a call goes in four steps, of which only
// the first and the last may raise, and then no frame of Swift is on the stack:
//   1. C reads the arguments into plain values, borrowed from Lua;
//   2. Swift computes, and hands back a code with results or a message, both in the arena of the state;
//   3. the frame of Swift returns;
//   4. C turns the results into Lua values, or raises.
// Swift calls Lua in one way, rlua_call: it is protected, so what Lua raises comes back as a code with the error object
// kept in the registry, and the call around it ends with RLUA_RAISED, which raises that very object.
//
// One thread at a time uses a state. rlua_forget alone may be called from any.

typedef struct rlua_state rlua_state;

typedef enum {
    RLUA_NIL,
    RLUA_BOOLEAN,
    RLUA_INTEGER,
    RLUA_NUMBER,
    RLUA_STRING,
    /// An object of one of the classes.
    RLUA_OBJECT,
    /// An object that was freed; `integer` is the line where its scope began, or 0.
    RLUA_FREED,
    RLUA_TABLE,
    /// A function, or whatever a row takes by reference: a reference into the registry.
    RLUA_REFERENCE,
    /// What the library has no use for; `string` is its type.
    RLUA_OTHER,
    /// A table that nests too deep, holds too much or has a hole; `string` says which.
    RLUA_UNREADABLE,
} rlua_kind;

typedef struct rlua_value rlua_value;
struct rlua_value {
    rlua_kind kind;
    /// Which class an object is of.
    int32_t class_id;
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct {
            const char *bytes;
            size_t length;
        } string;
        void *object;
        int reference;
        /// `count` items, then `named` keys each followed by its value.
        struct {
            rlua_value *items;
            uint32_t count, named;
        } table;
    };
};

/// How a call ended.
typedef enum {
    RLUA_OK,
    /// `message` says what is wrong.
    RLUA_FAILED,
    /// `error` refers to an error object that Lua raised inside.
    RLUA_RAISED,
} rlua_code;

/// One call from Lua as the library sees it.
typedef struct {
    rlua_value *arguments;
    size_t count;
    /// Whether a coroutine calls: rlua_interrupt does not reach those, so the callee has to look for itself.
    bool in_coroutine;

    /// Filled by the callee, from the arena.
    rlua_value *results;
    size_t result_count;
    rlua_value message;
    int error;
    /// Set to have Lua's garbage collected when the results are safe.
    bool collect;
} rlua_frame;

typedef rlua_code (*rlua_body)(void *context, rlua_frame *frame);

/// What the state asks of the library.
typedef struct {
    void *context;
    /// Takes back one reference to an object.
    void (*release)(void *object);
    /// Called after a full collection.
    void (*collected)(void *context);
    /// The registry reference of a table whose fields and `forward` an object borrows, or 0.
    int (*definition)(void *context, void *object);
} rlua_library;

// MARK: - State

rlua_state *rlua_open(rlua_library library);

/// Ends Lua and releases every object; the state itself lives on for those who hold references.
void rlua_close(rlua_state *state);
void rlua_destroy(rlua_state *state);

/// Makes the state the one that rlua_interrupt stops.
void rlua_interruptible(rlua_state *state);

/// Has running Lua code raise `interrupted`, again and again until rlua_resume. For signal handlers.
void rlua_interrupt(void);
void rlua_resume(rlua_state *state);

/// A full collection of Lua's garbage in the middle of a call from Lua. An error in a finalizer ends that finalizer
/// alone, so nothing jumps over the frames of Swift in between.
void rlua_reclaim(rlua_state *state);

// MARK: - Registration

typedef enum { RLUA_BY_VALUE = 0, RLUA_BY_REFERENCE = 1 } rlua_reading;

typedef enum { RLUA_RIFFLE, RLUA_INTERNAL } rlua_root;

/// A body with its context that Lua can call. Lives as long as the state.
typedef struct rlua_row rlua_row;
rlua_row *rlua_row_new(rlua_state *state, rlua_body body, void *context, rlua_reading reading);

/// Puts a row into a root table, under a path such as `flow.ode`.
void rlua_define(rlua_state *state, rlua_root root, const char *path, const rlua_row *row);

/// A new class of objects, by its number. With `shared`, an object has one face in Lua and not one an appearance;
/// `tracked` objects end with the scope they were made in.
int rlua_class_new(rlua_state *state, const char *word, bool shared, bool tracked);

typedef enum { RLUA_METHOD, RLUA_GETTER, RLUA_SETTER, RLUA_META } rlua_slot;

/// Gives a class a method, a field's reader or writer, or a metamethod such as `__add`. `__index` and `__newindex` are
/// asked for keys that are none of the others, and may answer with nothing.
void rlua_class_set(rlua_state *state, int class_id, rlua_slot slot, const char *name, const rlua_row *row);

// MARK: - Values

/// Memory for values or text that lasts until the call being answered ends.
rlua_value *rlua_values(rlua_state *state, size_t count);
char *rlua_text(rlua_state *state, size_t length);

/// Makes `value` an object whose reference the arena owns until Lua does.
void rlua_own_object(rlua_state *state, rlua_value *value, int class_id, void *object);

/// Takes the registry reference out of `value`; rlua_forget gives it back.
int rlua_take_reference(rlua_value *value);
void rlua_forget(rlua_state *state, int reference);

// MARK: - Calling Lua

/// The function of a chunk, as a registry reference; 0 with the message in `message` where it does not compile. The
/// prelude finds the names of all chunks in the table `programs`.
int rlua_load(rlua_state *state, const char *bytes, size_t length, const char *name, rlua_value *message);

typedef struct {
    rlua_code code;
    rlua_value *results;
    size_t count;
    /// The error object, for RLUA_RAISED; or the message, for RLUA_FAILED.
    int error;
    rlua_value message;
    // The state that rlua_done restores.
    int top;
    void *block;
    size_t used, owned;
} rlua_outcome;

/// Calls a function (or another value of the registry that can be called). The arguments come from the arena.
/// As many results are read as are wanted, those missing as nil; all of them with -1. What the outcome points to lasts
/// until rlua_done, which has to follow.
void rlua_begin(rlua_state *state, rlua_outcome *outcome);
void rlua_call(rlua_state *state, int function, rlua_value *arguments, size_t count, int wanted, rlua_outcome *outcome);
void rlua_done(rlua_state *state, rlua_outcome *outcome);

/// An error object in words, and where in the user's code it was raised, a line a level. In the arena.
rlua_value rlua_error_text(rlua_state *state, int error);
rlua_value rlua_traceback(rlua_state *state);

/// The objects whose calls run, from the innermost on.
void rlua_each_call(rlua_state *state, void *context, void (*body)(void *context, void *object));

/// The user's line that runs, "script.lua:12", or an empty text.
void rlua_location(rlua_state *state, char *text, size_t size);

/// A value of the registry: the root tables, for the prelude.
int rlua_root_reference(rlua_state *state, rlua_root root);

/// Sets a global to a value from the arena.
void rlua_set_global(rlua_state *state, const char *name, rlua_value *value);

/// The tensors in local variables of the running Lua code: calls body(context, name, object) for each.
void rlua_each_local(
    rlua_state *state, int class_id, void *context, void (*body)(void *context, const char *name, void *object));
