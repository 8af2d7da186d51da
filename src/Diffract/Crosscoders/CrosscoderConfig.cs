using Diffract.Compute.Kernels;
using Diffract.Runs;

namespace Diffract.Crosscoders;

/// <summary>What shapes a crosscoder; checked whole when made.</summary>
public sealed record CrosscoderConfig
{
    /// <param name="kind">What decides which latents fire.</param>
    /// <param name="latents">L, at least 1.</param>
    /// <param name="widths">Width of each model, base first.</param>
    /// <exception cref="DiffractException">A size below 1.</exception>
    public CrosscoderConfig(CrosscoderKind kind, int latents, int[] widths)
    {
        if (latents < 1)
        {
            throw DiffractException.Argument($"a crosscoder of {latents} latents cannot be made; wanted at least 1");
        }

        if (widths.Length == 0 || widths.Any(w => w < 1))
        {
            throw DiffractException.Argument($"model widths [{string.Join(", ", widths)}] cannot be used; wanted at least one, each at least 1");
        }

        (Kind, Latents, Widths) = (kind, latents, widths);
        ModelOffsets = new int[widths.Length + 1];
        for (int m = 0; m < widths.Length; m++)
        {
            ModelOffsets[m + 1] = ModelOffsets[m] + widths[m];
        }
    }

    public CrosscoderKind Kind { get; }

    /// <summary>L.</summary>
    public int Latents { get; }

    /// <summary>Width of each model; index 0 is the base.</summary>
    public int[] Widths { get; }

    /// <summary>[M + 1]: the columns of model m are ModelOffsets[m] .. ModelOffsets[m + 1] - 1.</summary>
    public int[] ModelOffsets { get; }

    /// <summary>M.</summary>
    public int Models => Widths.Length;

    /// <summary>E: the models' widths end to end.</summary>
    public int E => ModelOffsets[^1];

    /// <summary>How a latent's code is scaled for selection, penalty and statistics.</summary>
    public CodeNorm CodeNorm { get; init; } = CodeNormKind.Crosscoder;

    /// <summary>BatchTopK: active latents per token, on average over a batch; 1 to L.</summary>
    public int K { get; init; } = 100;

    /// <summary>Checks what depends on more than one field.</summary>
    /// <exception cref="DiffractException">k outside 1 .. L.</exception>
    public void Check()
    {
        if (Kind == CrosscoderKind.BatchTopK && (K < 1 || K > Latents))
        {
            throw DiffractException.Argument($"k = {K} does not fit a dictionary of {Latents} latents; wanted 1 to {Latents}");
        }
    }
}
