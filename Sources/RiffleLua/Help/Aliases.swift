import RiffleTensor

/// Names from PyTorch, NumPy and other languages, for hints: no call accepts them.
enum Aliases {
    /// Riffle's functions, methods, fields and options for such a name. A hint takes the first of them that exists
    /// where the name was used.
    static let names: [String: [String]] = [
        "view": ["reshape"], "resize": ["reshape"], "ravel": ["flatten"], "swapaxes": ["transpose"], "T": ["transpose"],
        "mT": ["transpose"], "t": ["transpose"], "mm": ["matmul"], "bmm": ["matmul"], "dot": ["matmul"],
        "concat": ["cat"],
        "concatenate": ["cat"], "clip": ["clamp", "clip"], "gather": ["take"], "index_select": ["take"],
        "masked_fill": ["where"], "masked_select": ["masked"], "argsort": ["sort"],
        "median": ["quantile"], "vector_norm": ["norm"],
        "scatter_add": ["put_add"], "index_add": ["put_add"], "broadcast_to": ["expand"],
        "expand_as": ["expand"], "tile": ["repeat_"], "numel": ["count"], "ndim": ["rank"], "len": ["count"],
        "astype": ["to"], "float": ["to", "float32"], "double": ["to", "float64"], "int": ["to", "int32"],
        "long": ["to", "int32"], "half": ["to", "bf16"], "numpy": ["tolist"], "manual_seed": ["seed"],
        "requires_grad": ["trainable"], "requires_grad_": ["trainable"], "axis": ["dim"], "axes": ["dim"],
        "dims": ["dim"], "keepdim": ["keep"], "keepdims": ["keep"], "retain_graph": ["retain"],
        "checkpoint": ["recompute"], "gradient_checkpointing": ["recompute"], "use_checkpoint": ["recompute"],
        "accumulate_grad_batches": ["accumulate"], "gradient_accumulation": ["accumulate"], "learning_rate": ["lr"],
        "betas": ["beta1"], "beta": ["beta1"], "momentum": ["beta1"], "epsilon": ["eps"], "wd": ["weight_decay"],
        "max_norm": ["clip"], "grad_clip": ["clip"], "max_grad_norm": ["clip"], "Adam": ["adamw"],
        "CosineAnnealingLR": ["cosine"], "num_steps": ["steps"], "n_steps": ["steps"], "nfe": ["steps"],
        "solver": ["method"], "guidance_scale": ["scale"], "cfg": ["scale", "guide"], "hidden": ["width"],
        "hidden_dim": ["width"], "hidden_size": ["width"], "num_layers": ["depth"], "layers": ["depth"],
        "in_dim": ["dim"], "input_dim": ["dim"], "num_heads": ["heads"], "num_classes": ["classes"],
        "n_classes": ["classes"], "image_size": ["image"], "in_channels": ["image", "inputs"],
        "out_channels": ["outputs"], "in_features": ["inputs"], "out_features": ["outputs"], "kernel_size": ["kernel"],
        "ceil_mode": ["ceil"], "count_include_pad": ["count_padding"], "factor": ["kernel"],
        "batch_size": ["size"], "state_dict": ["save"], "load_state_dict": ["load"], "DataLoader": ["batches"],
        "dataloader": ["batches"], "odeint": ["ode"], "fid": ["frechet_distance"], "nprocs": ["threads"],
        "set_num_threads": ["threads"], "SiLU": ["activation"], "ReLU": ["activation"], "GELU": ["activation"],
        "ModuleList": ["sequential"], "BatchNorm2d": ["batch_norm"], "MaxPool2d": ["max_pool"],
        "AvgPool2d": ["avg_pool"],
        "max_pool2d": ["max_pool"], "avg_pool2d": ["avg_pool"], "Conv2d": ["conv2d"], "EMA": ["ema"],
        "str": ["tostring"], "range": ["arange"],
    ]

    /// Hints for names that have no counterpart.
    static let notes: [String: String] = [
        "cuda": "Riffle computes on the processor", "cpu": "Riffle computes on the processor",
        "device": "Riffle computes on the processor",
        "requires_grad": "riffle.parameter(x) makes what learns, and its field is trainable",
        "requires_grad_": "riffle.parameter(x) makes what learns, and its field is trainable",
        "state_dict": "net:save(path) and net:load(path) keep weights in files",
        "load_state_dict": "net:load(path) reads weights from a file",
        "DataLoader": "data sets have :batches and :sample; x:take(riffle.randint(#x, n)) draws from a tensor",
        "save": "net:save(path) for networks, riffle.data.save(path, { name = tensor }) for tensors",
        "load": "net:load(path) for networks, riffle.data.load(path) for tensors",
        "zeros_like": "riffle.zeros(x:shape())", "ones_like": "riffle.ones(x:shape())",
        "randn_like": "riffle.randn(x:shape())", "clone": "tensors never change, so that nobody needs a copy",
        "copy_": "tensors never change; a parameter has :assign(value)", "einsum": "matmul, permute and sum do it",
        "betas": "beta1 and beta2 are options of their own", "torch": "riffle has its functions",
        "np": "riffle has its functions", "numpy": "riffle has its functions", "F": "riffle has its functions",
        "None": "Lua's word is nil", "null": "Lua's word is nil", "True": "Lua's word is true",
        "False": "Lua's word is false", "len": "#x is the length", "range": "for i = 1, n do ... end counts",
        "printf": "print(string.format(...))", "exit": "Ctrl-D leaves a session, os.exit() ends a script",
        "quit": "Ctrl-D leaves a session, os.exit() ends a script", "import": "local module = require \"module\"",
    ]

    /// The end of a message about an unknown name: the nearest candidate, Riffle's own name for it, or a note.
    static func hint(for name: String, among candidates: some Sequence<String>) -> String {
        let candidates = Array(candidates)
        if !candidates.contains(where: { $0.lowercased() == name.lowercased() }) {
            if let ours = names[name]?.first(where: candidates.contains) { return ", did you mean '\(ours)'?" }
            if let note = notes[name] { return "; \(note)" }
        }
        return suggestion(for: name, among: candidates)
    }
}
