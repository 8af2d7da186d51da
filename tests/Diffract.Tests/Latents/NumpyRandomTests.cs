using Diffract.Latents;

namespace Diffract.Tests.Latents;

/// <summary>Held against numpy 1.24: <c>RandomState(seed).permutation(n)</c> and <c>.choice(n, size, replace=False)</c>.</summary>
public sealed class NumpyRandomTests
{
    [Fact]
    public void Bits_are_numpys()
    {
        NumpyRandom random = new(0);
        Assert.Equal([2357136044u, 2546248239u, 3071714933u], [random.Next(), random.Next(), random.Next()]);
    }

    [Fact]
    public void Permutations_are_numpys()
    {
        Assert.Equal([8, 1, 5, 0, 7, 2, 9, 4, 3, 6], new NumpyRandom(42).Permutation(10));
        Assert.Equal([7653, 66274, 9119, 10760, 43166], new NumpyRandom(7).Permutation(70000)[..5]);
    }

    [Fact]
    public void Choices_are_numpys()
        => Assert.Equal([521, 737, 740, 660, 411, 678, 626, 513], new NumpyRandom(42).Choice(1000, 8));

    [Fact]
    public void Sets_are_drawn_by_norm_difference_and_seed()
    {
        // 40 shared, then 3 chat-only of which two are equal, one base-only, one without norms.
        double[] diff = [.. Enumerable.Repeat(0.5, 40), 0.05, 0.01, 0.05, 0.99, double.NaN];
        IReadOnlyDictionary<string, int[]> sets = new IndexSets(diff, 2, 5, 42).Sets;
        Assert.Equal([40, 41, 42], sets["chat_only_indices"]);
        Assert.Equal([43], sets["base_only_indices"]);
        Assert.Equal([41, 40], sets["effective_chat_only_latents"]);
        Assert.Equal(sets["effective_chat_only_latents"], sets["low_norm_diff_indices_2"]);
        Assert.Equal(new NumpyRandom(42).Permutation(40)[..5], sets["shared_indices_sample"]);
        Assert.Equal(sets["shared_indices_sample"][..2], sets["shared_baseline_latents"]);
        Assert.Equal([40, 41, 42], new IndexSets(diff, -1, 50, 42).Sets["effective_chat_only_latents"]);
        Assert.Equal(40, new IndexSets(diff, -1, 50, 42).Sets["shared_indices_sample"].Length);
    }
}
