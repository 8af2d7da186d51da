using System.Runtime.InteropServices;
using Diffract.Formats;

namespace Diffract.Scaling;

/// <summary>
/// Sums as tensors under the published names: <c>&lt;target&gt;.beta</c>, <c>.count_active</c>, <c>.nominator</c>, <c>.norm_f</c> = Σf², <c>.norm_d</c> = ‖v‖², each [L] float64.
/// </summary>
public static class ScalingTensors
{
    /// <summary>Adds the tensors of some targets, of some latents in their order.</summary>
    /// <param name="writer">Added to.</param>
    /// <param name="sums">Over all tokens.</param>
    /// <param name="products">Of the same directions.</param>
    /// <param name="latents">Which; null for all.</param>
    /// <param name="targets">Which; null for all eight.</param>
    public static void Add(
        SafetensorsWriter writer, BetaSums sums, LatentProducts products, IReadOnlyList<int>? latents = null, IReadOnlyList<(TargetKind Kind, int Model, string Name)>? targets = null)
    {
        foreach ((TargetKind kind, int model, string name) in targets ?? ScalingTargets.All)
        {
            foreach ((string part, double[] values) in Of(sums, products, latents, kind, model))
            {
                writer.Add($"{name}.{part}", values, values.Length);
            }
        }
    }

    /// <summary>The five tensors of a target by their published names.</summary>
    public static IReadOnlyList<(string Name, double[] Values_L)> Of(BetaSums sums, LatentProducts products, IReadOnlyList<int>? latents, TargetKind kind, int model)
    {
        int count = latents?.Count ?? sums.Latents;
        double[] total = new double[sums.TotalColumns];
        double[] beta = new double[count], active = new double[count], nominator = new double[count], normF = new double[count], normD = new double[count];
        for (int i = 0; i < count; i++)
        {
            int j = latents?[i] ?? i;
            sums.Total(j, total);
            beta[i] = Beta.Of(kind, model, total, products, j);
            nominator[i] = Beta.Nominator(kind, model, total, products, j);
            (active[i], normF[i], normD[i]) = (total[0], total[2], products.DirectionSquared(j));
        }

        return [("beta", beta), ("count_active", active), ("nominator", nominator), ("norm_f", normF), ("norm_d", normD)];
    }

    /// <summary><c>blocks.sums</c> [blocks, L, 3 + 2M]: count, Σf, Σf², A by model, R by model.</summary>
    public static void AddBlocks(SafetensorsWriter writer, BetaSums sums)
        => writer.AddBytes("blocks.sums", "F64", [sums.Blocks, sums.Latents, sums.Columns], 8L * sums.Blocks * sums.Latents * sums.Columns, stream =>
        {
            for (int block = 0; block < sums.Blocks; block++)
            {
                stream.Write(MemoryMarshal.AsBytes(sums.Block(block)));
            }
        });
}
