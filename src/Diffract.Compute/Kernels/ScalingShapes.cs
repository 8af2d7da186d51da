using Diffract.Compute.Buffers;

namespace Diffract.Compute.Kernels;

/// <summary>The shapes that <see cref="IScalingKernels.Accumulate"/> takes, checked alike by every backend.</summary>
public static class ScalingShapes
{
    /// <summary>Columns of the sums: count, S, C, A by model, R by model.</summary>
    public static int Columns(int models) => 3 + 2 * models;

    public static void Check(SparseCode code, Matrix acts_BE, Matrix recon_BE, Matrix directions_LD, ReadOnlySpan<int> modelOffsets, HostBuffer sums)
    {
        const string Operation = "scaling sums";
        int models = modelOffsets.Length - 1;
        ShapeException.Check(models >= 1, Operation, "one model at least", $"{models} models");
        for (int m = 0; m < models; m++)
        {
            ShapeException.Check(
                modelOffsets[m + 1] - modelOffsets[m] == directions_LD.Columns, Operation, "every model as wide as the directions",
                $"model {m} of width {modelOffsets[m + 1] - modelOffsets[m]}, directions {directions_LD}");
        }

        ShapeException.Check(
            acts_BE.Columns == modelOffsets[models] && recon_BE.Columns == modelOffsets[models], Operation, "acts and recon [B, E]",
            $"acts {acts_BE}, recon {recon_BE}, E {modelOffsets[models]}");
        ShapeException.Check(
            acts_BE.Rows >= code.Tokens && recon_BE.Rows >= code.Tokens, Operation, "a row for each token of the code",
            $"acts {acts_BE}, recon {recon_BE}, {code.Tokens} tokens");
        ShapeException.Check(directions_LD.Rows == code.Latents, Operation, "a direction for each latent", $"directions {directions_LD}, {code.Latents} latents");
        ShapeException.Check(
            sums.Type == ElementType.Float64 && sums.Length == (long)code.Latents * Columns(models), Operation, "sums [L, 3 + 2M] in double",
            $"{sums.Length} of {sums.Type} for {code.Latents} latents and {models} models");
    }
}
