using System.Runtime.InteropServices;
using Diffract.Formats;

namespace Diffract.Scaling;

/// <summary>
/// Sums as tensors under the published names: <c>&lt;target&gt;.beta</c>, <c>.count_active</c>, <c>.nominator</c>, <c>.norm_f</c> = Σf², <c>.norm_d</c> = ‖v‖², each [L] float64.
/// </summary>
public static class ScalingTensors
{
    public static void Add(SafetensorsWriter writer, BetaSums sums, LatentProducts products)
    {
        int latents = sums.Latents;
        double[] total = new double[sums.Columns];
        foreach ((TargetKind kind, int model, string name) in ScalingTargets.All)
        {
            double[] beta = new double[latents], count = new double[latents], nominator = new double[latents], normF = new double[latents], normD = new double[latents];
            for (int j = 0; j < latents; j++)
            {
                sums.Total(j, total);
                beta[j] = Beta.Of(kind, model, total, products, j);
                nominator[j] = Beta.Nominator(kind, model, total, products, j);
                (count[j], normF[j], normD[j]) = (total[0], total[2], products.DirectionSquared(j));
            }

            writer.Add(name + ".beta", beta, latents);
            writer.Add(name + ".count_active", count, latents);
            writer.Add(name + ".nominator", nominator, latents);
            writer.Add(name + ".norm_f", normF, latents);
            writer.Add(name + ".norm_d", normD, latents);
        }
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
