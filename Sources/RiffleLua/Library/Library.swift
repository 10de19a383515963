import RiffleTensor

/// The functions and classes that Lua sees, an enum for each subject.
enum Library {
    static let functions: [Function] =
        Op.all.map(\.function) + Creation.functions + Differentiation.functions + TensorLibrary.functions
        + NetworkLibrary.functions + AdapterLibrary.functions + LayerLibrary.functions + OptimizerLibrary.functions
        + FlowLibrary.functions + LossLibrary.functions + GeneratorLibrary.functions + SampleLibrary.functions
        + TurnLibrary.functions + LikelihoodLibrary.functions + DataLibrary.functions + TensorFileLibrary.functions
        + SetLibrary.functions + ShapesLibrary.functions + PairLibrary.functions + PromptLibrary.functions
        + DiscriminatorLibrary.functions + TextLibrary.functions + AutoencoderLibrary.functions
        + StableDiffusion3Library.functions
        + ImageLibrary.functions + PlotLibrary.functions + MetricsLibrary.functions + PictureMetricsLibrary.functions
        + EvaluationLibrary.functions + SystemLibrary.functions

    static let classes: [ObjectClass] =
        TensorLibrary.classes + TextLibrary.classes + AutoencoderLibrary.classes + StableDiffusion3Library.classes
        + NetworkLibrary.classes + OptimizerLibrary.classes + DataLibrary.classes + SetLibrary.classes
        + ShapesLibrary.classes + BatchLibrary.classes + TurnLibrary.classes + DiscriminatorLibrary.classes
        + PairLibrary.classes + PromptLibrary.classes + RunLibrary.classes + PictureMetricsLibrary.classes
        + EvaluationLibrary.classes
        + SystemLibrary.classes
}
