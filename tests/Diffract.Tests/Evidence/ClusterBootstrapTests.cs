using Diffract.Evidence;

namespace Diffract.Tests.Evidence;

public sealed class ClusterBootstrapTests
{
    [Fact]
    public void Means_are_over_positions_and_differences_are_paired()
    {
        ClusterBootstrap bootstrap = new(3, 200, 1);
        double[] a = [2, 6, 1], b = [1, 4, 0], counts = [1, 2, 1];

        Assert.Equal(9.0 / 4, bootstrap.Mean(a, counts).Value);
        Assert.Equal(4, bootstrap.Mean(a, counts).N);
        Assert.Equal(1, bootstrap.Difference(a, b, counts).Value);
        Assert.Equal(1 - (5.0 / 9), bootstrap.GapShare(b, a, 4).Value, 12);

        // a - b is the same for every position, so each resample of the pair gives the same difference.
        Assert.Equal(1, bootstrap.Difference(a, b, counts).Low, 12);
        Assert.Equal(1, bootstrap.Difference(a, b, counts).High, 12);
    }

    [Fact]
    public void Intervals_cover_the_planted_mean_about_as_often_as_they_say()
    {
        const int Studies = 300, Conversations = 60;
        SeededDraws draws = new(9);
        int covered = 0;
        for (int s = 0; s < Studies; s++)
        {
            double[] sums = new double[Conversations], counts = new double[Conversations];
            for (int c = 0; c < Conversations; c++)
            {
                // Positions of a conversation share its level: the planted mean is 0.5, and only conversations are independent.
                counts[c] = 4;
                sums[c] = 4 * (draws.Next() / (double)ulong.MaxValue);
            }

            Estimate mean = new ClusterBootstrap(Conversations, 300, (ulong)s).Mean(sums, counts);
            covered += mean.Low <= 0.5 && 0.5 <= mean.High ? 1 : 0;
        }

        Assert.InRange(covered / (double)Studies, 0.89, 0.98);
    }

    [Fact]
    public void One_conversation_has_no_interval()
    {
        Estimate mean = new ClusterBootstrap(1, 100, 1).Mean([3], [2]);
        Assert.Equal(1.5, mean.Value);
        Assert.True(double.IsNaN(mean.Low) && double.IsNaN(mean.High));
    }

    [Fact]
    public void Equal_seeds_give_equal_draws()
    {
        Assert.Equal(new ClusterBootstrap(50, 3, 4).Times(2).ToArray(), new ClusterBootstrap(50, 3, 4).Times(2).ToArray());
        Assert.NotEqual(new ClusterBootstrap(50, 3, 4).Times(2).ToArray(), new ClusterBootstrap(50, 3, 5).Times(2).ToArray());
    }

    [Fact]
    public void Quantiles_lie_between_order_statistics()
    {
        Assert.Equal(2.5, ClusterBootstrap.Quantile([1, 2, 3, 4], 0.5));
        Assert.Equal(4, ClusterBootstrap.Quantile([1, 2, 3, 4], 1));
        Assert.True(double.IsNaN(ClusterBootstrap.Quantile([], 0.5)));
    }
}
