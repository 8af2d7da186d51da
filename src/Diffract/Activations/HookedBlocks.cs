using Diffract.Llms;
using Diffract.Runs;

namespace Diffract.Activations;

/// <summary>The blocks after which a pair is read.</summary>
public static class HookedBlocks
{
    /// <summary>Refuses blocks that the models do not have.</summary>
    public static void Check(LayerPair layer, LlmConfig baseModel, LlmConfig chatModel)
    {
        if (layer.Base >= 0 && layer.Base < baseModel.Layers && layer.Chat >= 0 && layer.Chat < chatModel.Layers)
        {
            return;
        }

        throw DiffractException.Argument(layer.IsSame
            ? $"--layer {layer} is out of range; the models have blocks 0 to {Math.Min(baseModel.Layers, chatModel.Layers) - 1} in common (models of different depth: --layer BASE:CHAT)"
            : $"--layer {layer} is out of range; the base model has blocks 0 to {baseModel.Layers - 1}, the chat model 0 to {chatModel.Layers - 1}");
    }
}
