using System.Text.Json.Nodes;
using Diffract.Runs;

namespace Diffract.Latents;

/// <summary>
/// Whether the models of a run live in one space. Where their widths differ, nothing that puts a vector of one beside one of the other is defined: cosines between decoders, Latent Scaling along
/// the chat model's decoder, edits that feed one model's activation into the other.
/// </summary>
public static class CommonSpace
{
    /// <summary>Why Latent Scaling is left out.</summary>
    public const string NoScaling = "the models' widths differ, so that the base model's activations have no part along the chat model's decoder";

    /// <summary>Why interventions are left out.</summary>
    public const string NoInterventions = "the models' widths differ, so that no activation of the base model fits into the chat model";

    /// <summary>False where the activations of the layer have models of different widths; true where they are not there to say.</summary>
    public static bool Of(RunFolder run, LayerPair layer)
        => StageManifest.TryLoad(run.Activations(layer))?.Settings["widths"] is not JsonArray widths || widths.Select(w => (int)w!).Distinct().Count() == 1;
}
