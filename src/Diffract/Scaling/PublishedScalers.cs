using System.Globalization;
using Diffract.Formats;

namespace Diffract.Scaling;

/// <summary>
/// Latent Scaling's results under the names of the published tools (spec 5.4): <c>betas_T.pt</c>, <c>count_active_T.pt</c>, <c>nominator_T.pt</c>, <c>norm_f_T.pt</c> and <c>norm_d_T.pt</c>, one tensor
/// [latents] each, T = target, number of samples, offset and what differs from the default; of the baselines also <c>latent_vectors_T.pt</c> and <c>random_indices_T.pt</c>.
/// </summary>
public static class PublishedScalers
{
    /// <summary>T of a target: <c>base_error_N6000_n_offset0_jumprelu0.3_random_vectors_s42_name</c>.</summary>
    public static string Suffix(string target, LooseScalingSettings settings, long samples)
    {
        string text = string.Create(CultureInfo.InvariantCulture, $"{target}_N{samples}_n_offset{settings.Offset}");
        text += settings.ActiveAbove is { } t ? "_jumprelu" + t.ToString("R", CultureInfo.InvariantCulture) : "";
        text += settings.Vectors switch
        {
            VectorChoice.Random => $"_random_vectors_s{settings.Seed}",
            VectorChoice.RandomLatents => $"_random_indices_s{settings.Seed}",
            _ => "",
        };
        return settings.Name is { } name ? text + "_" + name : text;
    }

    /// <summary>Writes the files of the targets.</summary>
    public static void Write(
        string folder, LooseScalingSettings settings, BetaSums sums, LatentProducts products, ScalingDirections directions, IReadOnlyList<int>? latents,
        IReadOnlyList<(TargetKind Kind, int Model, string Name)> targets, long rows)
    {
        int[] order = [.. latents ?? [.. Enumerable.Range(0, sums.Latents)]];
        foreach ((TargetKind kind, int model, string target) in targets)
        {
            string suffix = Suffix(target, settings, settings.Samples ?? rows);
            foreach ((string name, double[] values) in ScalingTensors.Of(sums, products, latents, kind, model))
            {
                Save(name == "beta" ? "betas" : name, suffix, list => list.Add("", values, values.Length));
            }

            if (settings.Vectors != VectorChoice.Own)
            {
                Save(ScalingDirections.Tensor, suffix, list => list.Add("", order.SelectMany(directions.Of).ToArray(), order.Length, directions.Vectors_LD.Columns));
            }

            if (directions.RandomLatents is { } from)
            {
                Save("random_indices", suffix, list => list.Add("", Array.ConvertAll(order, j => (long)from[j]), order.Length));
            }
        }

        void Save(string name, string suffix, Action<TensorList> add)
        {
            TorchWriter writer = new();
            add(writer);
            writer.SaveTensor(Path.Combine(folder, $"{name}_{suffix}.pt"));
        }
    }
}
