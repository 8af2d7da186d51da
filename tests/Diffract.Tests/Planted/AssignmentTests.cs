using Diffract.Planted;

namespace Diffract.Tests.Planted;

/// <summary>The optimal assignment, against all assignments there are.</summary>
public sealed class AssignmentTests
{
    [Fact]
    public void A_case_worked_by_hand()
    {
        // Row by row the best first choice is 9 + 1 + 0 = 10; the best whole is 8 + 7 + 5 = 20.
        double[] values =
        [
            9, 8, 0,
            7, 1, 0,
            6, 4, 5,
        ];
        Assert.Equal([1, 0, 2], Assignment.Best(values, 3, 3));
    }

    [Fact]
    public void What_does_not_fit_stays_alone()
    {
        Assert.Equal([-1, 0], Assignment.Best([0, 0, 0.3, 0], 2, 2));
        Assert.Equal([-1, 0, -1], Assignment.Best([0.1, 0.9, 0.2], 3, 1));
        Assert.Equal([1], Assignment.Best([0.1, 0.9, 0.2], 1, 3));
        Assert.Empty(Assignment.Best([], 0, 4));
        Assert.Equal([-1, -1], Assignment.Best([], 2, 0));
    }

    [Fact]
    public void The_sum_is_the_largest_of_all_assignments()
    {
        Random random = new(3);
        for (int round = 0; round < 300; round++)
        {
            int rows = random.Next(1, 7), columns = random.Next(1, 7);
            double[] values = [.. Enumerable.Range(0, rows * columns).Select(_ => random.Next(3) == 0 ? 0 : random.NextDouble())];
            int[] columnOf = Assignment.Best(values, rows, columns);
            int[] used = [.. columnOf.Where(c => c >= 0)];
            Assert.Equal(used.Length, used.Distinct().Count());
            Assert.Equal(BestSum(values, rows, columns, 0, 0), Enumerable.Range(0, rows).Sum(r => columnOf[r] < 0 ? 0 : values[(r * columns) + columnOf[r]]), 1e-12);
        }
    }

    static double BestSum(double[] values, int rows, int columns, int row, int used)
    {
        if (row == rows)
        {
            return 0;
        }

        double best = BestSum(values, rows, columns, row + 1, used);
        for (int c = 0; c < columns; c++)
        {
            if ((used & (1 << c)) == 0)
            {
                best = Math.Max(best, values[(row * columns) + c] + BestSum(values, rows, columns, row + 1, used | (1 << c)));
            }
        }

        return best;
    }
}
