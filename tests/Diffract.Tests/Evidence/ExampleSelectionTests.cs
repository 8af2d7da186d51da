using Diffract.Evidence;

namespace Diffract.Tests.Evidence;

public sealed class ExampleSelectionTests
{
    [Theory]
    [InlineData(0.1f, 0)]
    [InlineData(1f, 0)]
    [InlineData(1.01f, 1)]
    [InlineData(2f, 1)]
    [InlineData(3f, 2)]
    [InlineData(3.5f, 3)]
    [InlineData(3.9f, 4)]
    [InlineData(4f, 4)]
    public void Bins_are_open_below_and_closed_above(float max, int bin) => Assert.Equal(bin, ExampleSelection.Bin(max, 4));

    [Fact]
    public void Quantile_examples_are_a_seeded_sample_of_each_bin()
    {
        List<DocumentMaximum> maxima = [.. Enumerable.Range(1, 100).Select(i => new DocumentMaximum(i, 0, i))];

        DocumentMaximum[][] bins = ExampleSelection.Quantiles(maxima, 3, 6, 1);

        Assert.Equal([6, 6, 6, 6, 5], bins.Select(b => b.Length));
        Assert.Equal([100, 99, 98, 97, 96], bins[4].Select(m => m.Document));
        Assert.All(bins[1], m => Assert.InRange(m.Max, 25.5f, 50));
        Assert.Equal(bins[1].OrderByDescending(m => m.Max), bins[1]);
        maxima.Reverse();
        Assert.Equal(bins, ExampleSelection.Quantiles(maxima, 3, 6, 1));
        Assert.NotEqual(bins[1], ExampleSelection.Quantiles(maxima, 4, 6, 1)[1]);
    }

    [Fact]
    public void Top_examples_are_the_largest_and_equal_ones_come_by_number()
        => Assert.Equal([2, 1, 4], ExampleSelection.Top([new(4, 0, 1), new(1, 0, 1), new(2, 0, 3), new(9, 0, 1)], 3).Select(m => m.Document));

    [Theory]
    [InlineData(50, 100, 30)]
    [InlineData(3, 100, 0)]
    [InlineData(99, 100, 60)]
    [InlineData(5, 10, 0)]
    public void Windows_stay_inside_the_document(int peak, int length, int start) => Assert.Equal(start, ExampleSelection.WindowStart(peak, length, 40));
}
