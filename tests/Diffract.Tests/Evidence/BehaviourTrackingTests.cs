using Diffract.Evidence;

namespace Diffract.Tests.Evidence;

public sealed class BehaviourTrackingTests
{
    [Fact]
    public void Areas_equal_the_count_of_ordered_pairs()
    {
        SeededDraws draws = new(3);
        for (int round = 0; round < 20; round++)
        {
            int n = 2 + draws.Below(40);
            float[] values = new float[n];
            bool[] positive = new bool[n];
            ushort[] once = new ushort[n];
            ushort[] times = new ushort[n];
            for (int i = 0; i < n; i++)
            {
                (values[i], positive[i], once[i], times[i]) = (draws.Below(6), draws.Below(3) == 0, 1, (ushort)draws.Below(4));
            }

            (positive[0], positive[1], times[0], times[1]) = (true, false, 1, 2);
            RocArea area = new(values);
            int[] positives = [.. Enumerable.Range(0, n).Where(i => positive[i])];

            Assert.Equal(BruteForce(values, positive, once), area.Of(positives), 12);
            Assert.Equal(BruteForce(values, positive, once), area.Of(positive, once), 12);
            Assert.Equal(BruteForce(values, positive, times), area.Of(positive, times), 12);
        }
    }

    [Fact]
    public void Equal_values_share_their_average_rank()
        => Assert.Equal([1.5, 4, 1.5, 3], new RocArea([0, 7, 0, 5]).Ranks);

    [Fact]
    public void A_planted_latent_is_found_and_its_area_lies_above_the_shuffled_ones()
    {
        (List<LabelledChat> chats, float[][] maxima) = Planted(600, candidates: 6, carrier: 4);

        BehaviourRow row = Assert.Single(new BehaviourTracking(chats, [10, 11, 12, 13, 14, 15], maxima, 1).Rows(TestContext.Current.CancellationToken), r => r.Group == "story");

        Assert.Equal(14, row.Latent);
        Assert.InRange(row.Auc!.Value, 0.85, 1);
        Assert.InRange(row.Auc.Value, row.Auc.Low, row.Auc.High);
        Assert.True(row.Auc.Low > row.ShuffledHigh);
        Assert.InRange(row.ShuffledAuc!.Value, 0.45, 0.55);
        Assert.Equal(chats.Count(c => c.Groups[0] == "story"), row.PositivesSelection + row.PositivesReport);
        Assert.Equal(600, row.Chats);
    }

    [Fact]
    public void Noise_is_no_better_than_its_shuffled_labels()
    {
        (List<LabelledChat> chats, float[][] maxima) = Planted(600, candidates: 30, carrier: -1);
        BehaviourRow row = Assert.Single(new BehaviourTracking(chats, [.. Enumerable.Range(0, 30)], maxima, 1).Rows(TestContext.Current.CancellationToken), r => r.Group == "story");

        Assert.True(row.AucSelectionHalf > row.Auc!.Value, "the half on which the latent was chosen flatters it");
        Assert.InRange(row.Auc.Value, 0.38, 0.62);
        Assert.InRange(row.ShuffledAuc!.Value, 0.45, 0.55);
    }

    [Fact]
    public void Halves_follow_the_seed_and_the_document_number_alone()
    {
        int[] reported = [.. Enumerable.Range(0, 1000).Where(d => BehaviourTracking.InReportedHalf(5, d))];
        Assert.InRange(reported.Length, 440, 560);
        Assert.NotEqual(reported, Enumerable.Range(0, 1000).Where(d => BehaviourTracking.InReportedHalf(6, d)));
    }

    [Fact]
    public void Fewer_than_twenty_positives_in_a_half_are_too_few()
    {
        List<LabelledChat> chats = [.. Enumerable.Range(0, 300).Select(i => new LabelledChat(i, [i < 30 ? "rare" : "common"]))];
        float[][] maxima = [[.. Enumerable.Range(0, 300).Select(i => (float)i)]];

        BehaviourRow rare = Assert.Single(new BehaviourTracking(chats, [3], maxima, 1).Rows(TestContext.Current.CancellationToken), r => r.Group == "rare");

        Assert.Null(rare.Auc);
        Assert.Null(rare.Latent);
        Assert.StartsWith("too few", rare.TooFew, StringComparison.Ordinal);
        Assert.Equal(30, rare.PositivesReport + rare.PositivesSelection);
    }

    [Fact]
    public void Contrast_is_what_refusal_is_told_from()
    {
        List<LabelledChat> chats = [.. Enumerable.Range(0, 600).Select(i => new LabelledChat(i, (i % 3) switch { 0 => ["refusal"], 1 => ["contrast"], _ => ["story", "refusal"] }))];
        float[][] maxima = [[.. Enumerable.Range(0, 600).Select(i => i % 3 == 1 ? 0f : 1f)]];

        IReadOnlyList<BehaviourRow> rows = new BehaviourTracking(chats, [3], maxima, 1).Rows(TestContext.Current.CancellationToken);

        Assert.DoesNotContain(rows, r => r.Group == "contrast");
        BehaviourRow against = Assert.Single(rows, r => r.Against == "contrast");
        Assert.Equal("refusal", against.Group);
        Assert.Equal(1, against.Auc!.Value);
        Assert.Equal(600, against.Chats);
        Assert.Equal(chats.Count(c => c.Groups[0] == "contrast" && BehaviourTracking.InReportedHalf(1, c.Document)), against.Negatives);
    }

    [Fact]
    public void Without_candidates_a_row_says_so()
    {
        List<LabelledChat> chats = [.. Enumerable.Range(0, 100).Select(i => new LabelledChat(i, [i % 2 == 0 ? "a" : "b"]))];
        Assert.All(new BehaviourTracking(chats, [], [], 1).Rows(TestContext.Current.CancellationToken), r => Assert.Equal("no latent to track", r.TooFew));
    }

    static (List<LabelledChat> Chats, float[][] Maxima) Planted(int n, int candidates, int carrier)
    {
        SeededDraws draws = new(11);
        List<LabelledChat> chats = [];
        float[][] maxima = [.. Enumerable.Range(0, candidates).Select(_ => new float[n])];
        for (int i = 0; i < n; i++)
        {
            bool story = draws.Below(4) == 0;
            chats.Add(new LabelledChat(i, [story ? "story" : "fact"]));
            for (int c = 0; c < candidates; c++)
            {
                maxima[c][i] = draws.Below(100) + (c == carrier && story ? 60 : 0);
            }
        }

        return (chats, maxima);
    }

    static double BruteForce(float[] values, bool[] positive, ushort[] times)
    {
        double won = 0, pairs = 0;
        for (int i = 0; i < values.Length; i++)
        {
            for (int j = 0; j < values.Length; j++)
            {
                if (positive[i] && !positive[j])
                {
                    double weight = times[i] * times[j];
                    pairs += weight;
                    won += weight * (values[i] > values[j] ? 1 : values[i] == values[j] ? 0.5 : 0);
                }
            }
        }

        return won / pairs;
    }
}
