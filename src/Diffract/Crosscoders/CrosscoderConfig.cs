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

    /// <summary>False where the models have different widths, which no published layout holds.</summary>
    public bool EqualWidths => Array.TrueForAll(Widths, w => w == Widths[0]);

    /// <summary>How a latent's code is scaled for selection, penalty and statistics.</summary>
    public CodeNorm CodeNorm { get; init; } = CodeNormKind.Crosscoder;

    /// <summary>Active latents per token, on average over a batch, 1 to L: BatchTopK's number, and the one that JumpReLU's training begins with.</summary>
    public int K { get; init; } = 100;

    /// <summary>
    /// A plain sparse autoencoder (spec 2.5): one model, the encoder sees x - b_dec, selection is by the unscaled code, decoder rows have length 1. Always BatchTopK, code norm none.
    /// </summary>
    public bool Sae { get; init; }

    /// <summary>At inference the K largest values of each token are active, as a plain TopK was trained to; no threshold says that. Only with code norm none, and only read, not trained.</summary>
    public bool LargestPerToken { get; init; }

    /// <summary>Models that the encoder reads, ascending; null for all. All are decoded.</summary>
    public int[]? EncoderModels { get; init; }

    /// <summary>Latents from 0 on that read and write the base model alone, by mask (a designated partition).</summary>
    public int BaseOnly { get; init; }

    /// <summary>Latents after those that read and write the chat model alone; the rest are shared.</summary>
    public int ChatOnly { get; init; }

    /// <summary>True where some latents are designated to one model: what such a latent belongs to is decided, not found.</summary>
    public bool Partitioned => BaseOnly + ChatOnly > 0;

    /// <summary>The model that a latent is designated to; null for a shared one.</summary>
    public int? DesignatedModel(int latent) => latent < BaseOnly ? 0 : latent < BaseOnly + ChatOnly ? 1 : null;

    /// <summary>Models that the encoder reads, resolved.</summary>
    public int[] ReadModels => EncoderModels ?? [.. Enumerable.Range(0, Models)];

    /// <summary>What keeps latents from models that they do not read or write; null where they read and write all.</summary>
    public LatentMasks? NewMasks()
    {
        if (EncoderModels is null && !Partitioned)
        {
            return null;
        }

        LatentMasks masks = new(Latents, Models);
        masks.Reads_L.Span<int>().Fill(ReadModels.Aggregate(0, (bits, m) => bits | 1 << m));
        for (int j = 0; j < BaseOnly + ChatOnly; j++)
        {
            masks.Reads_L.Span<int>()[j] = masks.Writes_L.Span<int>()[j] = 1 << DesignatedModel(j)!.Value;
        }

        return masks;
    }

    /// <summary>Checks what depends on more than one field.</summary>
    /// <exception cref="DiffractException">k outside 1 .. L, an SAE of several models, encoder models that there are not, a partition that does not fit, or thresholds of JumpReLU with a code norm for each model.</exception>
    public void Check()
    {
        if (Sae && (Models != 1 || Kind != CrosscoderKind.BatchTopK || CodeNorm.Kind != CodeNormKind.None || EncoderModels is not null))
        {
            throw DiffractException.Argument($"an SAE of {Models} models with code norm {CodeNormIds.Name(CodeNorm.Kind)} cannot be made; wanted one model, BatchTopK, code norm none");
        }

        if (EncoderModels is { } read && (read.Length == 0 || read.Distinct().Count() != read.Length || !read.Order().SequenceEqual(read) || read[0] < 0 || read[^1] >= Models))
        {
            throw DiffractException.Argument($"encoder models [{string.Join(", ", read)}] do not fit; wanted some of 0 to {Models - 1}, ascending, each once");
        }

        if (BaseOnly < 0 || ChatOnly < 0 || (long)BaseOnly + ChatOnly > Latents || (Partitioned && (Models != 2 || Sae || EncoderModels is not null)))
        {
            throw DiffractException.Argument(
                $"a partition of {BaseOnly} base-only and {ChatOnly} chat-only latents does not fit {Latents} latents on {Models} models; wanted at most as many as there are, two models, and an encoder that reads both (--base-only, --chat-only)");
        }

        if (LargestPerToken && (Kind != CrosscoderKind.BatchTopK || CodeNorm.Kind != CodeNormKind.None))
        {
            throw DiffractException.Argument($"the k largest of each token with code norm {CodeNormIds.Name(CodeNorm.Kind)} cannot be selected; wanted a dictionary with k and code norm none");
        }

        if (Kind != CrosscoderKind.L1 && (K < 1 || K > Latents))
        {
            throw DiffractException.Argument($"k = {K} does not fit a dictionary of {Latents} latents; wanted 1 to {Latents}");
        }

        if (Kind == CrosscoderKind.JumpReLU && CodeNorm.Kind == CodeNormKind.Decoupled)
        {
            throw DiffractException.Argument("jumprelu has one threshold for each latent and no code norm for each model; wanted --code-norm crosscoder, sae, mixed or none");
        }
    }
}
