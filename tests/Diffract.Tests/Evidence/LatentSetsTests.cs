using Diffract.Evidence;

namespace Diffract.Tests.Evidence;

public sealed class LatentSetsTests
{
    [Fact]
    public void The_pool_is_the_highest_norms_and_drops_ratios_out_of_range()
    {
        // 1,000 latents: the pool is latents 957 .. 999, 43 of them.
        PoolLatent[] latents = Table(1000);
        latents[999] = latents[999] with { NuError = double.NaN };
        latents[998] = latents[998] with { NuReconstruction = 2.001 };
        latents[997] = latents[997] with { NuError = -0.11 };
        latents[996] = latents[996] with { NuError = -0.1, NuReconstruction = 2 };
        latents[0] = latents[0] with { DeltaNorm = double.NaN };

        LatentSets sets = LatentSets.Choose(latents, 1);

        Assert.Equal(43, sets.PoolSize);
        Assert.Equal(40, sets.PoolAfterFilter);
        Assert.Null(sets.TooFew);
        Assert.Equal(Enumerable.Range(977, 20).Reverse(), sets.Sets["best_norm"]);
        Assert.Equal(Enumerable.Range(957, 20).Reverse(), sets.Sets["worst_norm"]);
    }

    [Fact]
    public void An_odd_pool_leaves_the_middle_one_out()
    {
        LatentSets sets = LatentSets.Choose(Table(1000), 1);
        Assert.Equal(43, sets.PoolAfterFilter);
        Assert.Equal(21, sets.Sets["best_norm"].Length);
        Assert.Equal(21, sets.Sets["worst_norm"].Length);
        Assert.DoesNotContain(978, sets.Sets["best_norm"].Concat(sets.Sets["worst_norm"]));
    }

    [Fact]
    public void The_scaling_order_sums_average_ranks_and_breaks_ties_by_index()
    {
        PoolLatent[] latents = [.. Enumerable.Range(0, 466).Select(i => new PoolLatent(i, i < 20 ? 0.99 : 0.5, 1, 1, 0.1, i >= 20))];
        for (int i = 0; i < 20; i++)
        {
            // Error ranks fall as reconstruction ranks rise. By hand, the sums are 2 for latent 12 (moved ahead), 22.5 for latent 0 (its error shares its rank with latent 20's),
            // 41.5 for latent 20 and 22 for all others.
            latents[i] = latents[i] with { NuError = (20 - i) / 20.0, NuReconstruction = i / 20.0 };
        }

        latents[12] = latents[12] with { NuError = -0.05, NuReconstruction = -0.05 };

        LatentSets sets = LatentSets.Choose(latents, 1);

        Assert.Equal(21, sets.PoolSize);
        Assert.Equal([12, 1, 2, 3, 4, 5, 6, 7, 8, 9], sets.Sets["best_scaling"]);
        Assert.Equal([11, 13, 14, 15, 16, 17, 18, 19, 0, 20], sets.Sets["worst_scaling"]);
    }

    [Fact]
    public void Equal_latents_are_taken_by_index()
    {
        PoolLatent[] latents = [.. Enumerable.Range(0, 1000).Select(i => new PoolLatent(i, 0.5, 0.3, 0.3, 0.1, true))];
        LatentSets sets = LatentSets.Choose(latents, 1);
        Assert.Equal(Enumerable.Range(0, 21), sets.Sets["best_norm"]);
        Assert.Equal(Enumerable.Range(0, 21), sets.Sets["best_scaling"]);
        Assert.Equal(Enumerable.Range(22, 21), sets.Sets["worst_scaling"]);
    }

    [Fact]
    public void Fewer_than_twenty_left_are_too_few()
    {
        PoolLatent[] latents = Table(1000);
        for (int i = 957; i < 981; i++)
        {
            latents[i] = latents[i] with { NuError = double.NaN };
        }

        LatentSets sets = LatentSets.Choose(latents, 1);
        Assert.Equal(19, sets.PoolAfterFilter);
        Assert.StartsWith("too few: 19 of the 43", sets.TooFew, StringComparison.Ordinal);
        Assert.Empty(sets.Sets);
    }

    [Fact]
    public void The_control_has_the_same_rates_from_outside_the_pool()
    {
        PoolLatent[] latents = [.. Table(1000).Select(l => l with { Rate = l.Latent >= 957 ? 0.001 * (l.Latent - 950) : 0.0005 * l.Latent, Shared = l.Latent is < 900 or > 990 })];

        LatentSets sets = LatentSets.Choose(latents, 3);

        int[] control = sets.Sets["control"], best = sets.Sets["best_scaling"];
        Assert.Equal(best.Length, control.Distinct().Count());
        Assert.All(control, c => Assert.InRange(c, 0, 899));
        double[] wanted = [.. best.Select(b => latents[b].Rate).Order()], got = [.. control.Select(c => latents[c].Rate).Order()];
        for (int i = 0; i < wanted.Length; i++)
        {
            Assert.Equal(wanted[i], got[i], 0.0006);
        }

        Assert.Equal(control, LatentSets.Choose(latents, 3).Sets["control"]);
    }

    [Fact]
    public void Too_few_shared_latents_leave_the_control_out()
    {
        LatentSets sets = LatentSets.Choose([.. Table(1000).Select(l => l with { Shared = l.Latent < 20 })], 1);
        Assert.False(sets.Sets.ContainsKey("control"));
        Assert.Contains(sets.Notes, n => n.Contains("20 shared latents, wanted 21", StringComparison.Ordinal));
    }

    static PoolLatent[] Table(int n) => [.. Enumerable.Range(0, n).Select(i => new PoolLatent(i, i / (double)n, 0.5, 0.5, 0.1, i < n / 2))];
}
