using Diffract.Compute.Buffers;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Latents;
using Diffract.Runs;

namespace Diffract.Scaling;

/// <summary>The directions of Latent Scaling and of its two null baselines. Draws are functions of the seed and the latent's number.</summary>
public sealed class ScalingDirections : IDisposable
{
    /// <summary>Tensor of a file of directions, as published: [latents written, D].</summary>
    public const string Tensor = "latent_vectors";

    const int RandomStream = 1, LatentStream = 2;

    readonly bool _owned;

    ScalingDirections(Matrix vectors_LD, Matrix? remainder_LD, int[]? latents, bool owned)
        => (Vectors_LD, Remainder_LD, RandomLatents, _owned) = (vectors_LD, remainder_LD, latents, owned);

    /// <summary>[L, D].</summary>
    public Matrix Vectors_LD { get; }

    /// <summary>[L, D]: what rounding to float32 took away from directions that were read in double; null: nothing.</summary>
    public Matrix? Remainder_LD { get; }

    /// <summary>[L]: whose row each latent got; null for other choices.</summary>
    public int[]? RandomLatents { get; }

    /// <summary>The decoder rows themselves.</summary>
    public static ScalingDirections Own(Matrix rows_LD) => new(rows_LD, null, null, owned: false);

    /// <summary>A baseline's directions, each as long as the latent's own row.</summary>
    /// <param name="choice">Not <see cref="VectorChoice.Own"/>.</param>
    /// <param name="rows_LD">[L, D]: the own rows.</param>
    /// <param name="seed">Of the draws.</param>
    public static ScalingDirections Draw(VectorChoice choice, Matrix rows_LD, int seed)
    {
        int latents = rows_LD.Rows, width = rows_LD.Columns;
        Matrix vectors_LD = Matrix.Host(latents, width);
        int[]? from = choice == VectorChoice.RandomLatents ? new int[latents] : null;
        double[] v_D = new double[width];
        for (int j = 0; j < latents; j++)
        {
            int other = (int)(Draws.Uniform((ulong)seed, LatentStream, (ulong)j) * latents);
            double squares = 0;
            for (int d = 0; d < width; d++)
            {
                v_D[d] = from is null ? Normal((ulong)seed, j, d) : rows_LD.Row(other)[d];
                squares += v_D[d] * v_D[d];
            }

            double scale = squares > 0 ? Math.Sqrt(LatentVectors.Dot(rows_LD.Row(j), rows_LD.Row(j)) / squares) : 0;
            for (int d = 0; d < width; d++)
            {
                vectors_LD.Row(j)[d] = (float)(v_D[d] * scale);
            }

            if (from is not null)
            {
                from[j] = other;
            }
        }

        return new ScalingDirections(vectors_LD, null, from, owned: true);
    }

    /// <summary>Directions of a file, a row for each latent that is written, in their order.</summary>
    /// <param name="path">safetensors with <see cref="Tensor"/>.</param>
    /// <param name="latents">L.</param>
    /// <param name="width">D.</param>
    /// <param name="written">The latents that are written; null for all.</param>
    /// <exception cref="DiffractException">No such tensor, another shape, or a value that is not finite.</exception>
    public static ScalingDirections Read(string path, int latents, int width, IReadOnlyList<int>? written)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        int count = written?.Count ?? latents;
        long[] shape = file[Tensor].Shape;
        if (!shape.AsSpan().SequenceEqual([count, width]))
        {
            throw new DiffractException($"{path}: tensor {Tensor} has the shape [{string.Join(", ", shape)}], wanted [{count}, {width}]: a direction for each latent that is written");
        }

        double[] values = file.Doubles(Tensor);
        int broken = Array.FindIndex(values, v => !double.IsFinite(v));
        if (broken >= 0)
        {
            throw new DiffractException($"{path}: {Tensor}[{broken / width}, {broken % width}] is {values[broken]}; wanted numbers");
        }

        Matrix vectors_LD = Matrix.Host(latents, width), remainder_LD = Matrix.Host(latents, width);
        for (int i = 0; i < count; i++)
        {
            int j = written?[i] ?? i;
            for (int d = 0; d < width; d++)
            {
                double value = values[i * width + d];
                vectors_LD.Row(j)[d] = (float)value;
                remainder_LD.Row(j)[d] = (float)(value - (float)value);
            }
        }

        return new ScalingDirections(vectors_LD, remainder_LD, null, owned: true);
    }

    /// <summary>The direction of a latent in double.</summary>
    public double[] Of(int latent)
        => [.. Enumerable.Range(0, Vectors_LD.Columns).Select(d => Vectors_LD.Row(latent)[d] + (Remainder_LD is { } low ? (double)low.Row(latent)[d] : 0))];

    public void Dispose()
    {
        if (_owned)
        {
            Vectors_LD.Buffer.Dispose();
            Remainder_LD?.Buffer.Dispose();
        }
    }

    /// <summary>Box and Muller's transform of two uniform draws.</summary>
    static double Normal(ulong seed, int latent, int d)
    {
        double u = 1 - Draws.Uniform(seed, RandomStream, (ulong)latent, 2 * (ulong)d), v = Draws.Uniform(seed, RandomStream, (ulong)latent, 2 * (ulong)d + 1);
        return Math.Sqrt(-2 * Math.Log(u)) * Math.Cos(2 * Math.PI * v);
    }
}
