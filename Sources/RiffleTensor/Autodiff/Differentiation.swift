/// Functions of differentiation for Lua. Functions that take a function of Lua, such as jvp, are built on them.
package enum Differentiation {
    package static let functions: [Function] = [
        Function(
            "parameter", [Argument("value", .tensor)],
            Doc(
                "A tensor that gradients reach and training changes.",
                example: "> riffle.parameter(riffle.ones(2)):shape()\n[2]")
        ) { [.object(Parameter(try $0.tensor(0).floating().detach()))] },
        Function(
            "tensor:backward",
            [
                Argument("x", .tensor),
                Argument("retain", .boolean, "keeps the saved values for another pass", default: .boolean(false)),
            ],
            Doc(
                "Adds the derivative of this number to the gradient of each parameter that it depends on.",
                example:
                    """
                    > local w = riffle.parameter(riffle.ones(2)); (w * 3):sum():backward(); return w.grad
                    tensor float32 [2]: 3 3
                    """
            )
        ) {
            try $0.tensor(0).backward(retain: $0.boolean(1))
            return []
        },
        Function(
            "grad",
            [
                Argument("y", .tensor, "a single number"),
                Argument("inputs", .tensors, "parameters, or tensors computed from them"),
                Argument(
                    "recording", .boolean, "whether the gradients can be differentiated again", default: .boolean(false)
                ),
                Argument("retain", .boolean, "keeps the saved values for another pass", default: .boolean(false)),
            ],
            Doc(
                "The derivatives of a number for each of the inputs, as a list.",
                example:
                    """
                    > local w = riffle.parameter(riffle.tensor { 2 }); return riffle.grad((w * w * w):sum(), { w })[1]
                    tensor float32 [1]: 12
                    """
            )
        ) {
            let found = try gradients(
                of: $0.tensor(0), for: $0.tensors(1), retain: $0.boolean(3), recording: $0.boolean(2))
            return [.list(found.map(Value.tensor))]
        },
        Function("autodiff.open_level", [], Doc("Opens a level of forward mode.")) { _ in [.object(ForwardLevel())] },
        Function(
            "autodiff.close_level", [Argument("level", .object("forward_level"))],
            Doc("Closes a level of forward mode.")
        ) {
            $0.object(0, as: ForwardLevel.self).close()
            return []
        },
        Function(
            "autodiff.dual",
            [Argument("level", .object("forward_level")), Argument("x", .tensor), Argument("tangent", .tensor)],
            Doc("x with a tangent.")
        ) { [.tensor(try $0.object(0, as: ForwardLevel.self).dual($0.tensor(1), $0.tensor(2)))] },
        Function(
            "autodiff.split", [Argument("level", .object("forward_level")), Argument("y", .tensor)],
            Doc("A value and its derivative.")
        ) {
            let (value, tangent) = try $0.object(0, as: ForwardLevel.self).split($0.tensor(1))
            return [.tensor(value), .tensor(tangent)]
        },
        Function(
            "autodiff.recording", [Argument("on", .boolean)],
            Doc("Turns recording for reverse mode on or off; returns what it was.")
        ) { arguments in
            defer { Context.current.isRecording = arguments.boolean(0) }
            return [.boolean(Context.current.isRecording)]
        },
        Function(
            "nan_guard", [Argument("on", .boolean, default: .boolean(true))],
            Doc(
                "Sets whether an operation or gradient that gives NaN or infinity stops with an error.",
                example: "> riffle.nan_guard(false)")
        ) {
            Context.current.guardsAgainstNaN = $0.boolean(0)
            return []
        },
    ]
}
